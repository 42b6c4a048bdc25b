"""What an answer of the images API holds: a picture, and what is said beside it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lcmis.errors import Refusal, RenderError
from lcmis.machine.pictures import BROKEN, TooLargeError, flat, opened
from lcmis.text.complaints import complaint_in, parsed
from lcmis.text.endpoint import Outcome, cut

if TYPE_CHECKING:
    from PIL.Image import Image

BESIDE = ("revised_prompt", "size", "quality", "background", "created", "id", "model")
"""What is kept of an answer, with its usage."""


@dataclass(slots=True)
class Found:
    """What an answer holds."""

    encoded: str = ""
    beside: str = ""
    """JSON: all but the picture."""
    num_pictures: int = 0
    is_address: bool = False
    """Whether it names where the picture lies instead."""
    is_empty: bool = False
    """Whether it is an answer as it should be, but for the picture."""
    is_flagged: bool = False
    """Whether a filter says that it struck."""
    model: str = ""
    """Which one it says has drawn."""

    @property
    def digest(self) -> str:
        """Names what was sent."""
        return hashlib.blake2b(self.encoded.encode(), digest_size=16).hexdigest()

    def read(self, body: bytes, mend: Callable[[str], str]) -> Outcome:
        """Take an answer with status 200 apart."""
        try:
            answer = parsed(body)
        except ValueError:
            return Outcome(reason="an answer that is no JSON", status=200)
        data = answer.get("data") if isinstance(answer, dict) else None
        pictures = data if isinstance(data, list) else []
        picture = pictures[0] if pictures and isinstance(pictures[0], dict) else {}
        encoded = picture.get("b64_json")
        self.num_pictures = len(pictures)
        said = answer.get("model") if isinstance(answer, dict) else None
        self.model = cut(mend(said), 200) if isinstance(said, str) else ""
        if not isinstance(encoded, str) or not encoded:
            self.is_address = bool(picture.get("url"))
            self.is_empty = isinstance(data, list) and not self.is_address
            named = " (it names an address, which is not fetched)" if self.is_address else ""
            what = "base64 of a picture" if picture else "a picture"
            return Outcome(reason=f"an answer without {what}{named}", status=200)
        del picture["b64_json"]
        beside = {
            name: cut(mend(str(value)), 4000)
            for source in (answer, picture)
            for name, value in source.items()
            if name in BESIDE or (name == "usage" and isinstance(value, dict))
        }
        self.encoded, self.beside = encoded, json.dumps(beside, ensure_ascii=False)
        self.is_flagged = bool(complaint_in(answer).flags)
        return Outcome(status=200)

    def picture(self, model_id: str, prompt: str) -> Image | RenderError:
        """The picture; a filter may have struck it out and sent one colour instead."""
        try:
            picture = flat(opened(io.BytesIO(decoded(self.encoded))))
        except TooLargeError as error:
            return RenderError(f"{model_id} sent a picture that {error}")
        except BROKEN as error:
            return RenderError(f"{model_id} sent something that is no picture ({error})")
        extrema: Any = picture.getextrema() if self.is_flagged else ()
        if extrema and all(low == high for low, high in extrema):
            return Refusal(f"{model_id} would not draw {prompt!r}: it sent an empty picture")
        return picture


def decoded(encoded: str) -> bytes:
    """Base64 in whatever dress it comes: as a data address, in lines, without padding, in the
    alphabet for addresses.

    Raises:
        ValueError: it is something else.
    """
    if encoded[:5].casefold() == "data:":
        head, _, encoded = encoded.partition(",")
        if not head.casefold().rstrip().endswith(";base64"):
            raise ValueError("a data address without base64")
    plain = "".join(encoded.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
