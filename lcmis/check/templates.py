"""How a vision-language model is asked: its template without a thought, or a frame of words."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE = "<image>"
"""In a frame: here stands the picture. Without it the processor of the family puts it first."""
FRAMES: Mapping[str, str] = {
    "paligemma": "answer en {question}",
    "blip-2": "Question: {question} Answer:",
    "instructblip": "{question}",
    "clip_t5": "A chat between a curious user and an artificial intelligence assistant. The "
    "assistant gives helpful, detailed, and polite answers to the user's questions. "
    f"USER: {PICTURE}\n{{question}} ASSISTANT: ",
}
"""Families without a chat template, and the words in which their authors ask a question.

Source: the model cards of google/paligemma-3b-mix-224, Salesforce/blip2-opt-2.7b
and Salesforce/instructblip-flan-t5-xl; of CLIP-FlanT5 its authors' t2v_metrics.
"""

MUTE: Mapping[str, str] = {
    "florence2": "follows fixed tasks such as <CAPTION> and answers no questions",
    "pix2struct": "reads the question as pixels above the picture",
    "got_ocr2": "writes down the text on a page and answers no questions",
    "pp_formulanet": "writes down formulas and answers no questions",
    "udop": "reads documents together with the words on them",
    "vision-encoder-decoder": "describes pictures and takes no questions",
    "kosmos-2.5": "writes down the text on a page and answers no questions",
    "blip": "describes pictures and answers no questions",
    "git": "describes pictures and was not taught to answer yes or no",
    "evolla": "looks at proteins",
    "pi0": "moves robots",
}
"""Families that transformers knows as image and text to text, and that cannot be asked."""

_THOUGHT = re.compile(r"think|thought|reason")
_OFF = ("off", "none", "disabled", "no_think", "nothink", "no", "false", "minimal", "low")
_OPENING = re.compile(
    r"(?P<left>[<\[◁]\|?)(?P<name>(?!/)[a-z_:]*(?:think|thought|reason)[a-z_:]*)"
    r"(?P<right>\|?[>\]▷])",
    re.IGNORECASE,
)
_PROBE = "what-is-asked"


@dataclass(frozen=True, slots=True)
class Manner:
    """In which form a model gets a question; decided from its files, before weights are loaded."""

    template: str = ""
    """Its chat template, with an opened thought closed behind it; empty for a frame."""
    switches: Mapping[str, Any] = field(default_factory=dict)
    """Variables of the template that turn thinking off: the answer itself must come first."""
    frame: str = ""
    """The words around ``{question}`` where there is no template."""
    mark: str = ""
    """Part of the checker's id where the form is not the plain chat template's."""


def manner_of(folder: Path, name: str, config: Mapping[str, Any]) -> Manner:
    """Read how a model is to be asked.

    Args:
        folder: with its configuration.
        name: of the model, for sentences.
        config: what its ``config.json`` says.

    Raises:
        ConfigError: it cannot be asked at all, or nobody knows how.
    """
    family = str(config["model_type"])
    if family in MUTE:
        raise ConfigError(
            f"{name} ({family}) {MUTE[family]}: take a vision-language model that chats"
        )
    template = _template_in(folder)
    if not template and family in FRAMES:
        return Manner(frame=FRAMES[family], mark=f"+{_short(FRAMES[family])}")
    if not template:
        raise ConfigError(
            f"{name} has no chat template, so how to ask it is unknown: "
            f"take its instruction-tuned twin"
        )
    switches = thought_switches(template)
    closing = _closing(template, switches)
    if closing:
        template = template.removesuffix("\n") + (
            f"{{{{ {json.dumps(closing, ensure_ascii=False)} if add_generation_prompt else '' }}}}"
        )
    others = {key: value for key, value in switches.items() if key != "enable_thinking"}
    mark = f"+{_short(repr(sorted(others.items())) + closing)}" if others or closing else ""
    return Manner(template, switches, mark=mark)


def thought_switches(template: str) -> dict[str, Any]:
    """Values for the variables of a chat template that keep the model from thinking first.

    A variable counts when its name speaks of thinking or reasoning and the template takes it from
    outside. Compared with words, it gets the one that means off; with numbers, 0; otherwise False.
    """
    import jinja2
    from jinja2 import meta, nodes

    source = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", template)
    environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"])
    try:
        parsed = environment.parse(source)
    except jinja2.TemplateSyntaxError:
        return {}  # said again, by name, when it is filled in
    compared: dict[str, list[Any]] = {}
    for node in parsed.find_all(nodes.Compare):
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        named = [side.name for side in sides if isinstance(side, nodes.Name)]
        for side in sides:
            if isinstance(side, nodes.Const):
                for each in named:
                    compared.setdefault(each, []).append(side.value)
            elif isinstance(side, nodes.List | nodes.Tuple):
                for each in named:
                    compared.setdefault(each, []).extend(
                        item.value for item in side.items if isinstance(item, nodes.Const)
                    )
    outside = meta.find_undeclared_variables(parsed)  # last: it folds constants as it goes
    asked = {name for name in outside if _THOUGHT.search(name.lower())}
    switches: dict[str, Any] = {}
    for variable in sorted(asked):
        values = compared.get(variable, [])
        words = [value for value in values if isinstance(value, str)]
        numbers = [value for value in values if type(value) in (int, float)]
        off = next((word for word in _OFF if word in map(str.lower, words)), None)
        if words and off is None:
            continue  # it knows degrees of thinking and no way to do without
        if off is not None:
            switches[variable] = next(word for word in words if word.lower() == off)
        else:
            switches[variable] = 0 if numbers else False
    return switches


class Asking:
    """Pictures and questions → what a model takes in.

    Args:
        processor: of transformers.
        manner: how the model is asked.
    """

    def __init__(self, processor: Any, manner: Manner) -> None:
        self._processor = processor
        self._manner = manner

    def __call__(self, images: Sequence[Image], texts: Sequence[str]) -> Any:
        """A ``BatchFeature`` of tensors on the CPU, rows padded on the left.

        Raises:
            ValueError: the processor cannot take a picture in; other errors of its arithmetic too.
        """
        padded: dict[str, Any] = {"padding": True, "padding_side": "left"}
        if self._manner.frame:
            return self._processor(
                images=list(images),
                text=[self._manner.frame.replace("{question}", text) for text in texts],
                return_tensors="pt",
                **padded,
            )
        conversations = [
            [
                {
                    "role": "user",
                    "content": [{"type": "image", "image": image}, {"type": "text", "text": text}],
                }
            ]
            for image, text in zip(images, texts, strict=True)
        ]
        return self._processor.apply_chat_template(
            conversations,
            chat_template=self._manner.template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=padded,
            **self._manner.switches,
        )


def _template_in(folder: Path) -> str:
    """The chat template that a processor of this folder would use; empty for none."""
    try:
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    except OSError:
        pass
    for file in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        try:
            said = json.loads((folder / file).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found = said.get("chat_template") if isinstance(said, dict) else None
        if isinstance(found, list):  # several, each under a name
            found = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        if isinstance(found, dict):
            found = found.get("default")
        if isinstance(found, str) and found:
            return found
    return ""


def _closing(template: str, switches: Mapping[str, Any]) -> str:
    """What closes the thought that the generation prompt leaves open; empty where it opens none."""
    if not _OPENING.search(template):
        return ""
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    content = [{"type": "image"}, {"type": "text", "text": _PROBE}]
    try:
        (said,), _ = render_jinja_template(
            conversations=[[{"role": "user", "content": content}]],
            chat_template=template,
            add_generation_prompt=True,
            **{"bos_token": "", "eos_token": "", **switches},
        )
    except (TemplateError, TypeError, ValueError):
        return ""  # said again, by name, when it is filled in
    tail = said.rpartition(_PROBE)[2]
    opened = list(_OPENING.finditer(tail))
    if not opened:
        return ""
    last = opened[-1]
    close = _closer(last)
    if close in tail[last.end() :]:
        return ""
    return f"\n{close}\n\n" if tail.endswith("\n") else close


def _closer(opened: re.Match[str]) -> str:
    left, name, right = opened["left"], opened["name"], opened["right"]
    for start in ("begin", "start"):
        if name.lower().startswith(start):
            return f"{left}end{name[len(start) :]}{right}"
    return f"{left[0]}/{left[1:]}{name}{right}"


def _short(text: str) -> str:
    return "a" + hashlib.blake2b(text.encode(), digest_size=3).hexdigest()
