"""Words of one's own: vectors that a text encoder is taught to read for a token.

Source: Gal et al., "An Image is Worth One Word: Personalizing Text-to-Image Generation using
Textual Inversion", ICLR 2023; the files' layouts are those that diffusers and AUTOMATIC1111 write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError
from lcmis.machine.hub import fetch_weights, locate_file
from lcmis.machine.weights import refuse_not_finite, tensor_shapes
from lcmis.types import Embedding

if TYPE_CHECKING:
    from lcmis.render.pipeline_folder import PipelineFolder

NAMELESS = "emb_params"
"""What AUTOMATIC1111 calls the vectors; the file's name is the word then."""
BY_ENCODER = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
"""What the files for two text encoders call their vectors."""
TEACHABLE = ("CLIPTextModel", "CLIPTextModelWithProjection")


@dataclass(frozen=True, slots=True)
class Word:
    """One word, read from the head of its file."""

    file: Path
    embedding: Embedding
    """``name@revision``, and the token as it is spelled."""
    tensors: Mapping[str, str]
    """Text encoder component to the tensor in the file that it is taught."""
    count: int
    """Of vectors, and so of tokens."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """One a vector, as diffusers names them."""
        token = self.embedding.token
        return (token, *(f"{token}_{number}" for number in range(1, self.count)))


def find_word(asked: Embedding, folder: PipelineFolder) -> Word:
    """Find the file of a word and hold it against the model's text encoders.

    Raises:
        ConfigError: there is none, or it was made for other text encoders than this model's.
        UnknownNameError: no such name.
    """
    located, path = locate_file(asked.name)
    file = fetch_weights(located, [path]) / path
    shapes = tensor_shapes(file, str(located))
    if len(shapes) == 1:
        (key,) = shapes
        tensors = {"text_encoder": key}
        token = asked.token or (file.stem if key == NAMELESS else key)
    elif set(shapes) == set(BY_ENCODER):
        tensors = {encoder: key for key, encoder in BY_ENCODER.items()}
        token = asked.token or file.stem
    else:
        raise ConfigError(
            f"{located} is no word (textual inversion): its file holds {len(shapes)} tensors, and "
            f"a word has one, or clip_l and clip_g"
        )
    if not token or any(letter.isspace() for letter in token):
        raise ConfigError(
            f"the word of {located} would be spelled {token!r}: give it a token without spaces, "
            f'such as token = "<my-word>"'
        )
    if sorted(tensors) != _teachable(folder):
        raise ConfigError(
            f"{located} teaches its word to {' and '.join(sorted(tensors))}, and {folder.name} "
            f"reads with {' and '.join(_teachable(folder))}: take a word that was made for it"
        )
    for encoder, key in tensors.items():
        width = folder.config(encoder)["hidden_size"]
        if shapes[key][-1] != width or len(shapes[key]) > 2:
            raise ConfigError(
                f"the vectors of {located} are {shapes[key][-1]} wide and {encoder} of "
                f"{folder.name} reads {width}: take a word that was made for this model"
            )
    counts = {1 if len(shapes[key]) == 1 else shapes[key][0] for key in tensors.values()}
    if len(counts) != 1:
        raise ConfigError(f"{located} has more vectors for one text encoder than for the other")
    return Word(file, Embedding(str(located), token), tensors, counts.pop())


def _teachable(folder: PipelineFolder) -> list[str]:
    """The text encoders that read prompts, if all of them can be taught.

    Raises:
        ConfigError: they cannot.
    """
    import diffusers

    encoders = {
        component: kind
        for component, (_, kind) in folder.components().items()
        if component.startswith("text_encoder")
    }
    deaf = [component for component, kind in encoders.items() if kind not in TEACHABLE]
    if deaf or not hasattr(getattr(diffusers, folder.class_name), "load_textual_inversion"):
        raise ConfigError(
            f"{folder.name} is a {folder.class_name}, which cannot be taught words of one's own: "
            f"leave the embeddings out"
        )
    return sorted(encoders)


def teach(pipeline: Any, words: Sequence[Word]) -> None:
    """Add the words to a loaded pipeline's tokenizers and text encoders.

    Raises:
        ConfigError: a file is damaged, or a tokenizer has such a token already.
    """
    from safetensors.torch import load_file

    for word in words:
        tensors = load_file(word.file)
        refuse_not_finite(word.embedding.name, tensors)
        for encoder, key in word.tensors.items():
            tokenizer = encoder.replace("text_encoder", "tokenizer")
            try:
                pipeline.load_textual_inversion(
                    {word.embedding.token: tensors[key]},
                    token=word.embedding.token,
                    tokenizer=getattr(pipeline, tokenizer),
                    text_encoder=getattr(pipeline, encoder),
                )
            except ValueError as error:
                raise ConfigError(_known_already(word)) from error


def add_tokens(tokenizer: Any, component: str, words: Sequence[Word]) -> None:
    """Let a tokenizer alone count the words as the taught one will.

    Raises:
        ConfigError: it has such a token already.
    """
    for word in words:
        if component.replace("tokenizer", "text_encoder") in word.tensors:
            if any(token in tokenizer.get_vocab() for token in word.tokens):
                raise ConfigError(_known_already(word))
            tokenizer.add_tokens(list(word.tokens))


def spelled_out(prompt: str, words: Sequence[Word]) -> str:
    """The prompt with every token of each word of several vectors, as the text encoder reads it."""
    for word in words:
        if word.count > 1:
            prompt = prompt.replace(word.embedding.token, " ".join(word.tokens))
    return prompt


def _known_already(word: Word) -> str:
    return (
        f"the model knows the token {word.embedding.token!r} of {word.embedding.name} already: "
        f'spell it otherwise, such as token = "<my-word>"'
    )
