"""An encoder-decoder that is told one vector and spells a text; its folder on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor, nn
from transformers import (
    BatchEncoding,
    DynamicCache,
    EncoderDecoderCache,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from lcmis.errors import ConfigError
from lcmis.invert.e2t.shape import CORRECTOR, WriterShape, read_shape

PADDING, END = "<pad>", "</s>"
WEIGHTS = "model.safetensors"
DROPOUT = 0.1
SMALLEST_VARIANCE = 1e-4
"""That counts, as a share of the largest."""
_UNREADABLE = (OSError, ValueError, RuntimeError, SafetensorError)


class _Speller(nn.Module):
    """A T5 that is told whitened vectors: what a writer and a corrector have in common."""

    middle: Tensor
    """Mean of the embeddings of a corpus, (dim,)."""
    stretch: Tensor
    """What makes them of unit variance in all directions, (dim, dim)."""

    def __init__(self, shape: WriterShape, config: T5Config) -> None:
        super().__init__()
        self.shape = shape
        self.t5 = T5ForConditionalGeneration(config)
        self.register_buffer("middle", torch.zeros(shape.embedding_dim))
        self.register_buffer("stretch", torch.eye(shape.embedding_dim))

    def _projection(self) -> nn.Sequential:
        """From a vector to pseudo-tokens end to end."""
        width = self.t5.config.d_model
        return nn.Sequential(
            nn.Linear(self.shape.embedding_dim, 2 * width),
            nn.Dropout(DROPOUT),
            nn.GELU(),
            nn.Linear(2 * width, self.shape.num_pseudo_tokens * width),
        )

    def _white(self, embeddings: Tensor) -> Tensor:
        return (embeddings - self.middle) @ self.stretch

    def _placed(self, projected: Tensor) -> Tensor:
        """Pseudo-tokens one behind the other, (n, pseudo-tokens, width)."""
        return projected.unflatten(-1, (self.shape.num_pseudo_tokens, -1))

    def _generated(self, num_beams: int, **told: Any) -> Any:
        # generate would make a cache for as many layers as read, and others write
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        return self.t5.generate(
            num_beams=num_beams,
            max_new_tokens=self.shape.max_length,
            do_sample=False,
            past_key_values=cache,
            **told,
        )

    def _beams(self, count: int, num_beams: int, **told: Tensor) -> tuple[Tensor, Tensor]:
        found = self._generated(
            num_beams,
            num_return_sequences=count,
            return_dict_in_generate=True,
            output_scores=True,
            **told,
        )
        return found.sequences, found.sequences_scores


class WriterNetwork(_Speller):
    """A T5 fed with pseudo-tokens that one vector is projected to.

    Source: Morris et al., "Text Embeddings Reveal (Almost) As Much As Text", EMNLP 2023, section 4
    (zero-step model); Li et al., EDITOR, arXiv 2506.03067, for CLIP's pooled vectors.
    Deviation: vectors are whitened first, since a few directions hold nearly all variance of CLIP's
    pooled vectors and others tell the words.
    """

    def __init__(self, shape: WriterShape, config: T5Config) -> None:
        super().__init__(shape, config)
        self.projection = self._projection()

    @torch.no_grad()
    def whiten(self, embeddings: Tensor) -> None:
        """Take the measure of a corpus's embeddings, (n, dim); of tiny variances none too exactly.

        Source: Kessy, Lewin, Strimmer, The American Statistician 2018 (PCA whitening), with a
        floor under the variances.
        """
        self.middle.copy_(embeddings.mean(0))
        variances, directions = torch.linalg.eigh(torch.cov(embeddings.T))
        floor = SMALLEST_VARIANCE * variances.max()
        self.stretch.copy_(directions / variances.clamp(min=0).add(floor).sqrt())

    def told(self, embeddings: Tensor) -> Tensor:
        """Embeddings (n, dim) as the T5's input, (n, pseudo-tokens, width)."""
        return self._placed(self.projection(self._white(embeddings)))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of the texts' tokens; labels (n, length) are -100 where padded."""
        loss: Tensor = self.t5(inputs_embeds=self.told(embeddings), labels=labels).loss
        return loss

    @torch.inference_mode()
    def beams(self, embeddings: Tensor, count: int, num_beams: int) -> tuple[Tensor, Tensor]:
        """The likeliest token sequences, (n · count, length), with their mean log-probabilities;
        two beams at least.
        """
        return self._beams(count, num_beams, inputs_embeds=self.told(embeddings))

    @torch.inference_mode()
    def likeliest(self, embeddings: Tensor) -> Tensor:
        """The likeliest token at each place after those before it, (n, length)."""
        found: Tensor = self._generated(1, inputs_embeds=self.told(embeddings))
        return found


class CorrectorNetwork(_Speller):
    """A T5 fed with a vector, that of a first text, the difference of both, and that text.

    Source: as for :class:`WriterNetwork`; Morris et al., section 4 (the corrector). Deviation: the
    difference is that of the whitened vectors.
    """

    def __init__(self, shape: WriterShape, config: T5Config) -> None:
        super().__init__(shape, config)
        self.projections = nn.ModuleList(self._projection() for _ in range(3))

    def begin_as(self, writer: WriterNetwork) -> None:
        """Take over what a finished writer knows of the space and of spelling."""
        self.middle.copy_(writer.middle)
        self.stretch.copy_(writer.stretch)
        self.t5.load_state_dict(writer.t5.state_dict())
        for projection in self.projections:
            projection.load_state_dict(writer.projection.state_dict())

    def told(self, embeddings: Tensor, reached: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """The T5's input, (n, places, width), and which of its places count, (n, places).

        Args:
            embeddings: what is to be put in words, (n, dim).
            reached: the vectors of the first texts, (n, dim).
            tokens: of these texts, (n, length), filled up with the padding.
        """
        wanted, there = self._white(embeddings), self._white(reached)
        vectors = zip(self.projections, (wanted, there, wanted - there), strict=True)
        parts = [self._placed(projection(one)) for projection, one in vectors]
        heard = torch.cat([*parts, self.t5.get_input_embeddings()(tokens)], dim=1)
        padding = self.t5.config.pad_token_id
        ahead = heard.shape[1] - tokens.shape[1]
        counts = torch.cat([tokens.new_ones(len(tokens), ahead), (tokens != padding).long()], dim=1)
        return {"inputs_embeds": heard, "attention_mask": counts}

    def loss(self, embeddings: Tensor, reached: Tensor, tokens: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of the texts' tokens; labels (n, length) are -100 where padded."""
        loss: Tensor = self.t5(**self.told(embeddings, reached, tokens), labels=labels).loss
        return loss

    @torch.inference_mode()
    def beams(
        self, embeddings: Tensor, reached: Tensor, tokens: Tensor, count: int, num_beams: int
    ) -> tuple[Tensor, Tensor]:
        """The likeliest token sequences, (n · count, length), with their mean log-probabilities;
        two beams at least.
        """
        return self._beams(count, num_beams, **self.told(embeddings, reached, tokens))


def make_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of a corpus, in lower case as CLIP reads it: any text comes back whole.

    Args:
        texts: the corpus, or a sample of it.
        size: tokens at most; fewer where the corpus has fewer words.

    Source: Sennrich et al., ACL 2016; Radford et al., GPT-2, 2019, for bytes.
    """
    inner = Tokenizer(models.BPE())
    inner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PADDING, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    inner.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, inner.token_to_id(END))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PADDING,
        eos_token=END,
        split_special_tokens=True,  # a text that spells one says nothing of its end
    )


def tokens_of(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, longest: int
) -> BatchEncoding:
    """Tokens of texts, (n, length), padded to the longest of them, each one cut after so many."""
    return tokenizer(
        list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt"
    )


def t5_config(vocabulary: int, *, width: int, layers: int) -> T5Config:
    """A T5 of this width with so many layers to write, and half as many to read."""
    return T5Config(
        vocab_size=vocabulary,
        d_model=width,
        d_kv=32,
        d_ff=3 * width,
        num_layers=max(1, layers // 2),
        num_decoder_layers=layers,
        num_heads=max(1, width // 32),
        dropout_rate=DROPOUT,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )


def save(network: WriterNetwork, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a folder that :func:`load` reads; weights in half precision, for the disk alone."""
    folder.mkdir(parents=True, exist_ok=True)
    network.t5.config.save_pretrained(folder)
    network.shape.save(folder)
    tokenizer.backend_tokenizer.no_truncation()  # left from the training's batches
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)
    _save_half(network, folder / WEIGHTS)


def load(folder: Path, name: str) -> tuple[WriterNetwork, PreTrainedTokenizerFast]:
    """Read what :func:`save` wrote, in float32, every tensor accounted for.

    Raises:
        ConfigError: a file is missing, damaged, or does not fit the others.
    """
    shape = read_shape(folder, name)
    if not (folder / WEIGHTS).is_file():
        raise ConfigError(f"{name} has no {WEIGHTS}: copy the writer again, whole")
    try:
        network = WriterNetwork(shape, T5Config.from_pretrained(folder, local_files_only=True))
        load_model(network, str(folder / WEIGHTS), strict=True)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except _UNREADABLE as error:
        raise ConfigError(f"{name} {_cannot(error)}") from error
    return network.eval(), tokenizer


def save_corrector(network: CorrectorNetwork, folder: Path) -> None:
    """Write it beside the writer that it corrects; weights in half precision."""
    _save_half(network, folder / CORRECTOR)


def load_corrector(folder: Path, writer: WriterNetwork, name: str) -> CorrectorNetwork:
    """Read what :func:`save_corrector` wrote, in float32, every tensor accounted for.

    Raises:
        ConfigError: the file is damaged, or another writer's.
    """
    network = CorrectorNetwork(writer.shape, writer.t5.config)
    try:
        load_model(network, str(folder / CORRECTOR), strict=True)
    except _UNREADABLE as error:
        said = _cannot(error)
        raise ConfigError(f"the corrector of {name} {said}, or delete {CORRECTOR}") from error
    return network.eval()


def _save_half(network: _Speller, file: Path) -> None:
    half = type(network)(network.shape, network.t5.config).half()
    half.load_state_dict(network.state_dict())
    save_model(half, str(file))
    file.chmod(0o644)


def _cannot(error: Exception) -> str:
    said = " ".join(str(error).split())[:300]
    return f"cannot be loaded ({said}): copy it again, whole"
