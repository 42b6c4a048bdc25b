"""Audits text-to-image models for latent concept misalignment."""

from pathlib import Path

__version__ = "0.1.0"
__path__ = [*__path__, str(Path(__file__).with_name("moved"))]
