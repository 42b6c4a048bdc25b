"""How much of a prompt reaches a text encoder: heard from the pipeline itself, without weights."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import Any

import diffusers
import torch
import transformers
from diffusers.configuration_utils import FrozenDict

from lcmis.render.calling import Ended
from lcmis.render.loading import class_of
from lcmis.render.pipeline_folder import PipelineFolder

INSIDE = frozenset({"model", "language_model", "text_model", "encoder"})
"""Parts of text encoders by which pipelines reach into them."""
FAILINGS = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What a pipeline raises that wants more of its parts than their configuration."""
WIDTH = 8
"""Of what stands in for what a text encoder says; pipelines go by the real one's configuration."""
ANY_PROMPT = "a"
"""That no pipeline finds too long."""


@dataclass(frozen=True, slots=True)
class Read:
    """One text that a tokenizer was given, and told to cut."""

    text: str
    tokens: int
    """Of all of it, special ones and what the pipeline puts around a prompt included."""
    reads: int
    """How many of them are kept."""
    is_summary: bool
    """Whether it is read by CLIP."""


class Lengths:
    """Tells whether a pipeline reads all of a prompt.

    The pipeline's own code is run with its real tokenizers on parts that have a configuration and
    no weights, until it begins to draw; the tokenizers are listened to. So its template, its system
    prompt and how many tokens it drops again are counted, whatever they are.

    A prompt is read whole where one text encoder reads all of it: beside a T5 or a language model,
    CLIP sees no more than its 77 tokens by design, and only gives a summary.

    Args:
        folder: the pipeline's configuration files and tokenizers.
        arguments: what the pipeline is called with beside prompts and seeds.
        prepare: is given each tokenizer's name and the tokenizer itself, before it is used.
    """

    def __init__(
        self,
        folder: PipelineFolder,
        arguments: Mapping[str, Any],
        prepare: Callable[[str, Any], None] = lambda *_: None,
    ) -> None:
        self._folder = folder
        self._arguments = arguments
        self._prepare = prepare
        self._reads: list[Read] = []
        self._seen: list[torch.Tensor] = []
        self._told: list[torch.Tensor] = []
        self.cut = lru_cache(4096)(self._cut)

    def _cut(self, text: str, beside: str = "") -> str:
        """Why not all of a prompt would be read, to end a sentence about it; empty where it is.

        Args:
            text: what is to be drawn, or steered away from.
            beside: the prompt that a negative one stands beside: some pipelines cut it to that
                one's length. Empty where the text is the prompt.
        """
        if not text.strip():
            return ""
        failed = self._hear(text, beside)
        if failed:
            if not self._hear(ANY_PROMPT, beside):
                return f"is more than {self._folder.name} reads ({failed})"
            return f"may be more than {self._folder.name} reads, which cannot be told ({failed})"
        reads = self._reads_of(text)
        best = min(reads, key=lambda read: read.tokens - read.reads, default=None)
        if best is not None and best.tokens > best.reads:
            around = best.text.strip().casefold() != text.strip().casefold()
            included = "what its pipeline puts around it" if around else "start and end"
            return (
                f"has {best.tokens} tokens and {self._folder.name} reads {best.reads}, {included} "
                f"included: the rest would be cut off"
            )
        if self._is_cut_later(text, beside):
            where = " beside such a prompt" if beside else ""
            return f"is longer than what {self._folder.name} reads{where}: the end would be cut off"
        return ""

    def _is_cut_later(self, text: str, beside: str) -> bool:
        """Whether another last letter would make no difference to what the denoiser is told.

        Some pipelines cut tokens themselves, and some what their text encoders said of them.
        """
        told = list(self._told or self._seen)
        self._hear(text[:-1] + ("a" if text[-1:] != "a" else "o"), beside)
        others = self._told or self._seen
        return bool(told) and all(map(torch.equal, told, others))

    def _hear(self, text: str, beside: str) -> str:
        """Listen to tokenizers and text encoders; why that could not be done, empty if it was."""
        self._reads.clear()
        self._seen.clear()
        self._told.clear()
        prompts = {"prompt": beside, "negative_prompt": text} if beside else {"prompt": text}
        with _hushed(), torch.inference_mode():
            try:
                self._skeleton(**self._arguments, **prompts)
            except Ended:
                self._encode(**prompts)
            except FAILINGS as error:
                if not self._seen:
                    return str(error)
        return ""

    def _encode(self, **prompts: str) -> None:
        """Hear the prompts' encoding where the pipeline ended before it: where a prior, which has
        tokenizers of its own, begins to draw first.
        """
        encode = getattr(self._skeleton, "encode_prompt", None)
        if encode is None or self._told:
            return
        told = {
            "device": torch.device("cpu"),
            "num_images_per_prompt": 1,
            "do_classifier_free_guidance": True,
            **prompts,
        }
        takes = inspect.signature(encode).parameters
        try:
            encode(**{name: value for name, value in told.items() if name in takes})
        except (Ended, *FAILINGS):
            return  # what was heard until now has to do

    def _reads_of(self, prompt: str) -> list[Read]:
        """What tokenizers were told to cut of it; CLIP's only where there are no others."""
        core = prompt.strip().casefold()
        mine = [read for read in self._reads if core in read.text.casefold()] or self._reads
        return [read for read in mine if not read.is_summary] or list(mine)

    @cached_property
    def _skeleton(self) -> Any:
        """The pipeline, with tokenizers and nothing else that is real."""
        kind = getattr(diffusers, self._folder.class_name)
        takes = inspect.signature(kind.__init__).parameters
        given = {name: value for name, value in self._folder.index.items() if name in takes}
        given |= {name: None for name, value in given.items() if value == [None, None]}
        for name, (library, class_name) in self._folder.components().items():
            given[name] = self._part(name, library, class_name)
        for name, parameter in takes.items():
            if name != "self" and parameter.default is parameter.empty:
                given.setdefault(name, None)
        skeleton = kind(**given)
        skeleton.set_progress_bar_config(disable=True)
        if hasattr(skeleton, "encode_prompt"):
            skeleton.encode_prompt = self._overheard(skeleton.encode_prompt)
        return skeleton

    def _overheard(self, encode_prompt: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(encode_prompt)
        def encode(*args: Any, **told: Any) -> Any:
            encoded = encode_prompt(*args, **told)
            self._told.extend(_tensors(encoded))
            return encoded

        return encode

    def _part(self, name: str, library: str, class_name: str) -> Any:
        path = self._folder.path / name
        kind = class_of(library, class_name)
        if "tokenizer" in name or "processor" in name:
            part = kind.from_pretrained(path, local_files_only=True, trust_remote_code=False)
            is_processor = isinstance(part, transformers.ProcessorMixin)
            tokenizer = part.tokenizer if is_processor else part
            self._prepare(name, tokenizer)
            self._listen(tokenizer)
            return part
        if name in self._folder.weighted_components():
            if issubclass(kind, transformers.PreTrainedModel) or "text_encoder" in name:
                config = kind.config_class.from_pretrained(path, local_files_only=True)
                return TextStandIn(config, class_name, self._seen)
            return StandIn(FrozenDict(self._folder.config(name)), self._seen)
        part = kind.from_pretrained(path, local_files_only=True)
        if hasattr(part, "set_timesteps"):
            part.set_timesteps = self._ending(part.set_timesteps)
        return part

    def _ending(self, set_timesteps: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(set_timesteps)  # for pipelines look at what it takes
        def end(*_: Any, **__: Any) -> None:
            if self._seen:
                raise Ended

        return end

    def _listen(self, tokenizer: Any) -> None:
        """Note what a tokenizer is told to cut, and how much that would be."""
        kind = type(tokenizer)
        reads = self._reads
        is_summary = isinstance(tokenizer, transformers.CLIPTokenizer)

        class Listening(kind):  # type: ignore[misc, valid-type]
            def __call__(self, *args: Any, **told: Any) -> Any:
                text = args[0] if args else told.get("text")
                if told.get("truncation") and text is not None:
                    uncut = told | {
                        "truncation": False,
                        "padding": False,
                        "max_length": None,
                        "return_tensors": None,
                        "verbose": False,
                    }
                    ids = super().__call__(*args, **uncut)["input_ids"]
                    texts, rows = ([text], [ids]) if isinstance(text, str) else (text, ids)
                    most = told.get("max_length") or self.model_max_length
                    reads.extend(
                        Read(str(one), len(row), most, is_summary)
                        for one, row in zip(texts, rows, strict=True)
                    )
                return super().__call__(*args, **told)

        Listening.__name__ = kind.__name__
        Listening.__module__ = kind.__module__
        tokenizer.__class__ = Listening


class StandIn(torch.nn.Module):
    """A network's configuration; who wants more of it after the prompts were read is to draw.

    Args:
        config: its attributes are the network's.
        seen: what text encoders were given until now.
    """

    dtype = torch.float32
    device = torch.device("cpu")

    def __init__(self, config: Any, seen: list[Any]) -> None:
        super().__init__()
        self.config = config
        self.seen = seen
        self.nothing = torch.nn.Parameter(torch.zeros(1))  # some read the dtype off a parameter

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if not name.startswith("_") and hasattr(self.config, name):
                return getattr(self.config, name)
            if name.endswith("_blocks"):
                return ()
            if not name.startswith("_") and self.seen:
                raise Ended from None
            raise

    def forward(self, *_: Any, **__: Any) -> Any:
        """Nothing is drawn here.

        Raises:
            Ended: always.
        """
        raise Ended


class TextStandIn(StandIn):
    """Says of every token which one it is, and notes what it was given."""

    def __init__(self, config: Any, class_name: str, seen: list[Any]) -> None:
        super().__init__(config, seen)
        self.norm = torch.nn.Identity()
        self.is_projected = class_name.endswith("WithProjection")

    def __getattr__(self, name: str) -> Any:
        return self if name in INSIDE else super().__getattr__(name)

    def embed_tokens(self, input_ids: Any) -> Any:
        """For pipelines that run the layers themselves.

        Raises:
            Ended: always.
        """
        self.seen.append(input_ids)
        raise Ended

    def forward(self, input_ids: Any = None, *_: Any, **__: Any) -> Any:
        """Shapes as the real one's: (batch, length, dim) a layer, and a summary (batch, dim)."""
        self.seen.append(input_ids)
        text = self.config
        for inner in ("text_config", "encoder"):
            text = getattr(text, inner, None) or text
        num_layers = getattr(text, "num_hidden_layers", None) or text.num_layers
        last = torch.sin(input_ids[..., None] * torch.arange(1.0, WIDTH + 1))
        summary = last.mean(1)
        return Spoken(summary if self.is_projected else last, last, summary, num_layers)


class Spoken(SimpleNamespace):
    """A text encoder's output, by name and by place."""

    def __init__(self, first: Any, last: Any, summary: Any, num_layers: int) -> None:
        super().__init__(
            first=first,
            last_hidden_state=last,
            hidden_states=(last,) * (num_layers + 1),
            pooler_output=summary,
            text_embeds=summary,
        )

    def __getitem__(self, place: int | str) -> Any:
        return (
            (self.first, self.pooler_output)[place] if place in (0, 1) else vars(self)[str(place)]
        )


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


@contextmanager
def _hushed() -> Iterator[None]:
    """What a pipeline warns of concerns nobody here: nothing is drawn."""
    level = diffusers.utils.logging.get_verbosity()
    diffusers.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        diffusers.utils.logging.set_verbosity(level)
