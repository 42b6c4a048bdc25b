"""Tokenizers of the real classes over a small vocabulary: mostly one token a letter."""

from __future__ import annotations

import io
from pathlib import Path

import sentencepiece
from open_clip.tokenizer import bytes_to_unicode
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BertTokenizer,
    GemmaTokenizer,
    LlamaTokenizer,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
)

CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if 'text' in part %}{{ part['text'] }}"
    "{% elif part['type'] == 'image' %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML, as Qwen models are talked to; parts of a message are texts and pictures."""
QWEN_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
MISTRAL_CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '[SYSTEM_PROMPT]' if message['role'] == 'system' else '[INST]' }}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}"
    "{{ '[/SYSTEM_PROMPT]' if message['role'] == 'system' else '[/INST]' }}{% endfor %}"
)


def _letters() -> dict[str, int]:
    """Every byte, spelled as byte-level tokenizers spell it."""
    return {letter: index for index, letter in enumerate(bytes_to_unicode().values())}


def _pieces(*special: str) -> dict[str, int]:
    """Special tokens, the space of sentence pieces, all printable letters, all bytes."""
    words = [*special, "▁", *(chr(code) for code in range(33, 127))]
    words += [f"<0x{byte:02X}>" for byte in range(256)]
    return {word: index for index, word in enumerate(words)}


def qwen(model_max_length: int = 4096) -> Qwen2Tokenizer:
    """Of the Qwen 2 to 3 language models, with their chat template."""
    tokenizer = Qwen2Tokenizer(
        vocab=_letters(),
        merges=[],
        model_max_length=model_max_length,
        extra_special_tokens=list(QWEN_SPECIAL),
    )
    tokenizer.chat_template = CHAT
    return tokenizer


def gemma(model_max_length: int = 4096) -> GemmaTokenizer:
    """Of the Gemma language models: it adds a start token, and no end."""
    tokenizer = GemmaTokenizer(
        vocab=_pieces("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"),
        model_max_length=model_max_length,
        padding_side="right",
    )
    _begin(tokenizer, "<bos>")
    return tokenizer


def llama(model_max_length: int = 4096) -> LlamaTokenizer:
    """Of the Llama language models."""
    tokenizer = LlamaTokenizer(
        vocab=_pieces("<unk>", "<s>", "</s>"),
        pad_token="<unk>",
        model_max_length=model_max_length,
        padding_side="right",
    )
    _begin(tokenizer, "<s>")
    return tokenizer


def byte_level(
    *special: str, pad: str, eos: str | None = None, template: str = "", begin: str = ""
) -> PreTrainedTokenizerFast:
    """Any other byte-level tokenizer, such as GLM's and Mistral's."""
    letters = _letters()
    vocab = letters | {word: len(letters) + index for index, word in enumerate(special)}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(special))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=pad,
        eos_token=eos,
        bos_token=begin or None,
        model_max_length=4096,
    )
    if template:
        tokenizer.chat_template = template
    if begin:
        _begin(tokenizer, begin)
    return tokenizer


def bert(model_max_length: int = 77) -> BertTokenizer:
    """Word pieces: letters, first and following ones."""
    letters = [chr(code) for code in range(33, 127)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    words += [f"##{letter}" for letter in letters]
    return BertTokenizer(
        vocab={word: index for index, word in enumerate(words)}, model_max_length=model_max_length
    )


def sentence_pieces(path: Path) -> Path:
    """A small trained model of sentence pieces, as ChatGLM reads it."""
    told = ["a red cup", "two dogs on a boat", "a very long winding road at night", "ink"]
    letters = [" ".join(chr(code) for code in range(33, 127))]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter((told + letters) * 4),
        model_writer=model,
        vocab_size=120,
        model_type="char",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())
    return path


def _begin(tokenizer: PreTrainedTokenizerFast, token: str) -> None:
    """Put a token before every text, as the saved tokenizers of these models do."""
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{token} $A",
        pair=f"{token} $A {token} $B",
        special_tokens=[(token, tokenizer.convert_tokens_to_ids(token))],
    )
