"""What is never printed or kept: passwords in addresses, keys, tokens."""

from __future__ import annotations

import os
import re

VARIABLES = (
    "LCMIS_API_KEY",
    "OPENAI_API_KEY",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "PGPASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "WANDB_API_KEY",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
"""Of the environment; what they hold is a secret wherever it turns up."""
LEAST_LETTERS = 6
"""What is shorter would be found in innocent words."""
INSTEAD = "***"

_IN_ADDRESS = re.compile(r"(://[^:/?#\s@\"']*):(?:[^\s@\"']*@)+")
_NAMED = re.compile(
    r"""(?ix)
    ( (?:^|[?&;\s"'-]) (?: password | passwd | pwd | sslpassword | api[-_]?key | access[-_]?token
      | auth[-_]?token | token | secret | sig | signature | x-amz-(?:signature|security-token) )
      = ) [^&;\s"'#]+ """
)


def withheld(text: str) -> str:
    """A text without any secret: ``user:password@`` in an address, named ones, those of
    :data:`VARIABLES`.

    An address keeps its user, host and path, so that a reader knows which one it was.
    """
    for name in VARIABLES:
        secret = os.environ.get(name, "")
        if len(secret) >= LEAST_LETTERS:
            text = text.replace(secret, INSTEAD)
    text = _IN_ADDRESS.sub(rf"\1:{INSTEAD}@", text)
    return _NAMED.sub(rf"\1{INSTEAD}", text)
