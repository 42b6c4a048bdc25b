"""What a person types for a model on the hub, and what they may have meant."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lcmis.errors import ConfigError, UnknownNameError

COMMIT = re.compile(r"[0-9a-f]{40}")
"""Under which a hub keeps one state of a model for ever."""
HUGGING_FACE = ("huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com")
NOT_MODELS = ("datasets", "spaces", "kernels", "collections", "papers", "docs", "blog")
OTHER_HUBS = {
    "civitai": "Civitai",
    "urn:air": "Civitai",
    "modelscope": "ModelScope",
    "ms": "ModelScope",
    "ollama": "Ollama",
    "replicate": "Replicate",
    "kaggle": "Kaggle",
    "tensorart": "Tensor.Art",
    "openxlab": "OpenXLab",
    "github": "GitHub",
}
"""How names at other hubs begin, before a colon."""
FILES = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin", ".onnx")
_SHORT = re.compile(r"[0-9a-fA-F]{4,39}")
_ADDRESS = re.compile(r"(?i)[a-z][a-z0-9+.-]*://")


def hub_name(text: str) -> str:
    """A name that a hub could know: ``owner/name``, or ``name`` alone.

    Raises:
        ConfigError: an address, another hub's name, or a name with too much about it; the sentence
            says what to write.
        UnknownNameError: neither a path that exists nor anything that a hub could know.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    _refuse_address(text)
    _refuse_other_hub(text)
    bare = text.strip("/ ") or text
    parts = bare.split("/")
    is_path = text.startswith(("/", ".", "~")) or "\\" in text
    if not is_path and bare != text and len(parts) <= 2:
        raise ConfigError(f"there is no folder {text!r}; for the model on the hub write {bare}")
    if Path(text).suffix.lower() in FILES and (is_path or len(parts) < 3):
        raise UnknownNameError(f"there is no file {text!r}: check its path")
    name, rest = "/".join(parts[:2]), "/".join(parts[2:])
    if not is_path and rest and _is_name(name):
        advice = f"write {name}, or give the path of a folder"
        if Path(rest).suffix.lower() in FILES:
            advice = f"fetch the file with `hf download {name} {rest}`, and give its path"
        raise ConfigError(
            f"there is no folder {text!r}, and a model on the hub is called owner/name: {advice}"
        )
    try:
        validate_repo_id(text)
    except HFValidationError:
        raise UnknownNameError(
            f"there is no folder {text!r}, and it cannot be a name on the hub either: give the "
            f"path of a model folder, or owner/name"
        ) from None
    return text


def name_and_file(text: str) -> tuple[str, str]:
    """``owner/name`` and a file in it, where ``owner/name/folder/file.safetensors`` was typed."""
    owner, _, rest = text.partition("/")
    name, _, file = rest.partition("/")
    whole = f"{owner}/{name}"
    if file.lower().endswith(FILES) and _is_name(whole):
        return whole, file
    return text, ""


def looks_like_hub_name(text: str) -> bool:
    """Whether a hub could know it under this very name: two words with one slash."""
    return text.count("/") == 1 and _is_name(text)


def is_short_commit(revision: str) -> bool:
    """Whether somebody left digits of a commit away, as git lets them."""
    return bool(_SHORT.fullmatch(revision))


def _is_name(text: str) -> bool:
    return bool(re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", text, re.ASCII))


def _refuse_address(text: str) -> None:
    scheme = _ADDRESS.match(text)
    host = text.partition("/")[0].lower()
    known = host.removeprefix("www.").partition(".")[0] in OTHER_HUBS and "." in host
    if not scheme and host not in HUGGING_FACE and not known:
        return
    if scheme and scheme[0].lower() == "hf://":
        host, path = "hf.co", text[len(scheme[0]) :]
    else:
        parts = urlsplit(text if scheme else f"https://{text}")
        host, path = (parts.hostname or "").lower(), parts.path
    if host not in (*HUGGING_FACE, _endpoint_host()):
        raise ConfigError(
            f"{host or repr(text)} is no hub that lcmis fetches from: download the model from "
            f"there and give its folder, or its file"
        )
    words = [word for word in unquote(path).split("/") if word]
    words = words[1:] if words[:1] == ["models"] else words
    if words[:1] and words[0] in NOT_MODELS:
        raise ConfigError(f"that address is no model's, but one of {words[0]}: give a model's name")
    if not words:
        raise ConfigError("that is the address of the hub itself: write the model as owner/name")
    raise ConfigError(f"a model is named, not addressed: write {_named(words)}")


def _named(words: list[str]) -> str:
    """What to write for the path of an address: ``owner/name@revision``."""
    name, at, revision = "/".join(words[:2]).partition("@")
    if len(words) > 3 and words[2] in ("tree", "blob", "resolve", "commit", "raw"):
        at, revision = "@", words[3]
        file = "/".join(words[4:])
        name += f"/{file}" if file.lower().endswith(FILES) else ""
    return name if revision in ("", "main") else f"{name}{at}{revision}"


def _endpoint_host() -> str:
    from huggingface_hub import constants

    return urlsplit(constants.ENDPOINT).hostname or ""


def _refuse_other_hub(text: str) -> None:
    kind, colon, rest = text.partition(":")
    if not colon or len(kind) < 2:  # one letter is a drive
        return
    known = OTHER_HUBS.get(":".join(text.lower().split(":")[:2])) or OTHER_HUBS.get(kind.lower())
    if known:
        raise ConfigError(
            f"{text!r} is a name at {known}, and lcmis fetches from Hugging Face's hub alone: "
            f"download the model and give its folder, or its file"
        )
    if looks_like_hub_name(rest):
        raise ConfigError(f"a name on the hub has no colon: if you mean {rest}, write {rest}")
