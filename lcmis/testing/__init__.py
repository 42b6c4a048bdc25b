"""Contracts for authors of plugins: subclass one in your tests and say how to make your plugin.

They need pytest. Each kind that is a class has one; each test of it is a promise of
:mod:`lcmis.plugins.protocols`, and lcmis's own classes pass them all.
"""

from lcmis.testing.checking import CheckerContract
from lcmis.testing.drawing import ImageModelContract
from lcmis.testing.given import BATCH_TOLERANCE, contract_pair, contract_pictures
from lcmis.testing.inverting import (
    DenoiserContract,
    EncoderContract,
    InverterContract,
    WriterContract,
)
from lcmis.testing.language import LanguageModelContract, TextModelContract
from lcmis.testing.repairing import Desk, RepairerContract, contract_case

__all__ = [
    "BATCH_TOLERANCE",
    "CheckerContract",
    "DenoiserContract",
    "Desk",
    "EncoderContract",
    "ImageModelContract",
    "InverterContract",
    "LanguageModelContract",
    "RepairerContract",
    "TextModelContract",
    "WriterContract",
    "contract_case",
    "contract_pair",
    "contract_pictures",
]
