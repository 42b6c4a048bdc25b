"""P("yes") and forced choice of a vision-language model, read off its first token."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lcmis.check.pictures import abstain, options_of, readable, to_look_at
from lcmis.check.wording import LETTERS, NO, YES, can_word, shares, worded
from lcmis.errors import CheckError, ConfigError
from lcmis.machine.device import choose_device, choose_dtype
from lcmis.machine.hub import Located, fetch_weights, locate
from lcmis.machine.memory import in_batches
from lcmis.machine.weights import refuse_missing, refuse_not_finite, refuse_unusable, silent
from lcmis.plugins.settings import CheckerSettings
from lcmis.text.prompts import wording, wordings_hash
from lcmis.types import Answer, Question

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

BATCH_SIZE = 16
MAX_CAPTION_TOKENS = 40


class VqaChecker:
    """Asks a vision-language model for yes or no, or for a letter, and reads the probabilities.

    Presence and relation: the mass of all spellings of yes over that of yes and no, at the first
    token of the reply. Forced choice: likewise over the letters of the options. ``mass`` is what
    all allowed answers have together; below :data:`lcmis.check.wording.MASS_FLOOR` it is an
    abstention.

    A row does not see its neighbours: they are padded on the left and masked. What remains is
    rounding, 1e-6 in float32; bfloat16 on an accelerator rounds more.

    Args:
        settings: ``name`` is a folder or hub name of any model that transformers knows as image and
            text to text, with safetensors and a chat template.

    Raises:
        ConfigError: no such device, only pickles, no chat template, the hub cannot be reached.
        UnknownNameError: neither a folder nor on the hub.

    Source: Lin et al., "Evaluating Text-to-Visual Generation with Image-to-Text Generation", ECCV
    2024 (VQAScore). Here normalised by yes and no, and summed over spellings.
    """

    def __init__(self, settings: CheckerSettings) -> None:
        self.device = choose_device(settings.device)
        self.dtype = choose_dtype(settings.dtype, self.device)
        self.batch_size = settings.batch_size or BATCH_SIZE
        self._located = locate(settings.name, settings.revision)
        _refuse_unsafe(self._located)
        self.checker_id = f"vqa:{self._located}+{wordings_hash('presence', 'choice')}"
        self._judge: _Judge | None = None

    def takes(self, question: Question) -> bool:
        """Whether it can be worded: a choice needs two to eight options."""
        return can_word(question)

    def score(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        """Answer question i about image i.

        Raises:
            ConfigError: the weights cannot be loaded, or memory does not suffice.
            CheckError: the model cannot take the pictures in.
        """
        answers, asked = to_look_at(images, questions, self.takes, options_of)
        if not asked:
            return answers
        judge = self._loaded()
        rows = []
        for place, picture in asked:
            text = worded(questions[place])
            control = judge.control_token_in(text)
            if control:
                reason = f"the question holds {control!r}, which steers the model instead of asking"
                answers[place] = abstain(options_of(questions[place]), reason)
            else:
                rows.append((place, picture, text))
        rows.sort(key=lambda row: len(row[2]))  # equal lengths side by side need little padding

        def answered(batch: Sequence[tuple[int, Image, str]]) -> list[tuple[Answer, ...]]:
            first = judge.first_tokens([row[1] for row in batch], [row[2] for row in batch])
            return [
                judge.answer(questions[place], probabilities)
                for (place, _, _), probabilities in zip(batch, first, strict=True)
            ]

        given = in_batches(rows, self.batch_size, answered, judge.name)
        for (place, _, _), answer in zip(rows, given, strict=True):
            answers[place] = answer
        return answers

    def describe(self, images: Sequence[Image]) -> list[str]:
        """What the model sees, one sentence a picture: its likeliest 40 tokens at most.

        Raises:
            ConfigError: the weights cannot be loaded, or memory does not suffice.
            CheckError: a picture cannot be read, or the model cannot take it in.
        """
        pictures = []
        for image in images:
            picture = readable(image)
            if isinstance(picture, str):
                raise CheckError(picture)
            pictures.append(picture)
        judge = self._loaded()
        return in_batches(pictures, self.batch_size, judge.describe, judge.name)

    def _loaded(self) -> _Judge:
        if self._judge is None:
            self._judge = _Judge(self._located, self.device, self.dtype)
        return self._judge


def first_token_ids(tokenizer: Any, answers: Sequence[Iterable[str]]) -> list[list[int]]:
    """The ids with which a reply can begin that means each answer.

    With and without a space before it, as byte-level and sentencepiece vocabularies spell them.
    A spelling that is one token counts; only where an answer has none do the first tokens of longer
    spellings. An id that two answers share tells nothing and is left out.

    Args:
        tokenizer: of transformers.
        answers: for each answer its spellings.
    """
    found = [_ids_of(tokenizer, spellings) for spellings in answers]
    shared = {token for ids in found for token in ids if sum(token in other for other in found) > 1}
    return [sorted(ids - shared) for ids in found]


def _ids_of(tokenizer: Any, spellings: Iterable[str]) -> set[int]:
    vocabulary = tokenizer.get_vocab()
    single: set[int] = set()
    first: set[int] = set()
    for spelling in spellings:
        for text in (spelling, f" {spelling}"):
            ids = tokenizer.encode(text, add_special_tokens=False)
            (single if len(ids) == 1 else first).update(ids[:1])
        if f"▁{spelling}" in vocabulary:  # sentencepiece, which hides the form without a space
            written = (f"▁{spelling}", spelling)
            single.update(vocabulary[text] for text in written if text in vocabulary)
    return single or first


def _refuse_unsafe(located: Located) -> None:
    """Judge a folder by its files before anything of it is loaded."""
    folder, name = located.path, located.name
    config = folder / "config.json"
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{name} has no config.json: give a vision-language model that transformers saved"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{name}/config.json cannot be read as JSON ({error}): copy it again"
        ) from error
    if not isinstance(content, dict) or "model_type" not in content:
        raise ConfigError(f"{name}/config.json names no model_type: copy the model again, whole")
    if not any(
        (folder / file).is_file() for file in ("processor_config.json", "preprocessor_config.json")
    ):
        raise ConfigError(
            f"{name} cannot see, it has no processor_config.json: "
            f"give a model that takes pictures and text"
        )
    if not located.hub_name and not any(folder.glob("*.safetensors")):
        pickled = [file.name for kind in ("*.bin", "*.pt", "*.pth") for file in folder.glob(kind)]
        if pickled:
            raise ConfigError(
                f"{name} has its weights only as {pickled[0]}, a pickle that can run code when "
                f"opened: convert the model to safetensors, or take one that is"
            )
        raise ConfigError(f"{name} has no safetensors: copy the model again, whole")


class _Judge:
    """A loaded model that replies to one question about one picture, many at a time."""

    def __init__(self, located: Located, device: str, dtype: str) -> None:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForImageTextToText, AutoProcessor

        refuse_unusable(device)
        self.name, self.device = located.name, device
        folder = fetch_weights(located)
        safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            with silent():
                self.processor: Any = AutoProcessor.from_pretrained(folder, **safe)
                model, report = AutoModelForImageTextToText.from_pretrained(
                    folder,
                    dtype=getattr(torch, dtype),
                    use_safetensors=True,
                    output_loading_info=True,
                    **safe,
                )
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            said = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"{self.name} cannot be loaded as an image-and-text model ({said}): copy it again, "
                f"whole, or take one that transformers knows without code of its own"
            ) from error
        refuse_missing(self.name, report["missing_keys"])
        refuse_not_finite(self.name, model.state_dict())
        if not getattr(self.processor, "chat_template", None):
            raise ConfigError(
                f"{self.name} has no chat template, so how to ask it is unknown: "
                f"take its instruction-tuned twin"
            )
        self.model: Any = model.to(device).eval()
        self.tokenizer: Any = self.processor.tokenizer
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        added = self.tokenizer.added_tokens_decoder.values()
        self._controls = [token.content for token in added if token.special]
        self._yes_no = first_token_ids(self.tokenizer, (YES, NO))
        self._letters = first_token_ids(self.tokenizer, [(letter,) for letter in LETTERS])
        if not all(self._yes_no):
            raise ConfigError(
                f"the first token of a reply of {self.name} cannot tell yes from no: "
                f"take a model with another tokenizer"
            )

    def control_token_in(self, text: str) -> str:
        """A control token that a text would smuggle into the prompt; empty for an honest text."""
        return next((token for token in self._controls if token in text), "")

    def first_tokens(self, images: Sequence[Image], texts: Sequence[str]) -> torch.Tensor:
        """Probabilities of the reply's first token, float32 on the CPU, ``(rows, vocabulary)``."""
        reply = self._reply(images, texts, 1, output_logits=True, return_dict_in_generate=True)
        return reply.logits[0].float().softmax(dim=-1).cpu()

    def answer(self, question: Question, first: torch.Tensor) -> tuple[Answer, ...]:
        """What the probabilities of the first token say to a question."""
        options = options_of(question)
        ids = self._letters[: len(options)] if question.kind.is_choice else self._yes_no
        if not all(ids):
            return abstain(options, "the tokenizer has no letters of their own to choose by")
        return shares(question, [float(first[each].sum()) for each in ids])

    def describe(self, images: Sequence[Image]) -> list[str]:
        """One sentence a picture."""
        texts = [wording("caption")] * len(images)
        replies = self._reply(images, texts, MAX_CAPTION_TOKENS)
        special = set(self.tokenizer.all_special_ids)
        said = [[token for token in reply if token not in special] for reply in replies.tolist()]
        return [self.tokenizer.decode(tokens).strip() if tokens else "" for tokens in said]

    def _reply(
        self, images: Sequence[Image], texts: Sequence[str], num_tokens: int, **how: Any
    ) -> Any:
        """Greedy replies: new tokens only, ``(rows, tokens)``, or what ``how`` asks for.

        :meth:`generate` is used for one token too: it gives left-padded rows their true positions.
        """
        import torch

        conversations = [
            [
                {
                    "role": "user",
                    "content": [{"type": "image", "image": image}, {"type": "text", "text": text}],
                }
            ]
            for image, text in zip(images, texts, strict=True)
        ]
        switches = {}
        if "enable_thinking" in str(self.processor.chat_template):
            switches["enable_thinking"] = False  # the answer itself must be the first token
        try:
            inputs = self.processor.apply_chat_template(
                conversations,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs={"padding": True, "padding_side": "left"},
                **switches,
            )
        except ValueError as error:
            raise CheckError(f"{self.name} cannot take these pictures in: {error}") from error
        inputs = inputs.to(self.device, self.model.dtype)
        with torch.inference_mode():
            reply = self.model.generate(
                **inputs,
                **how,
                max_new_tokens=num_tokens,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        return reply if how else reply[:, inputs["input_ids"].shape[1] :]
