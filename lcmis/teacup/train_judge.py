"""Trains teacup-judge: a small convolutional tower and a small Llama, joined like LLaVA.

Source: Liu et al., "Visual Instruction Tuning", NeurIPS 2023, section 4, for the joining and the
two phases; Vasu et al., "FastVLM: Efficient Vision Encoding for Vision Language Models", CVPR
2025, for the convolutional tower; Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with
Warm Restarts", ICLR 2017, for the cycles of the rate. Deviations: both parts start from nothing;
the first phase teaches the tower alone to name what is shown, by linear classifiers that are
dropped afterwards; the second trains everything.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessor,
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    LlamaConfig,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    TimmWrapperConfig,
)

from lcmis.machine.paths import shipped
from lcmis.teacup.checker_data import (
    Namer,
    Pictures,
    Shown,
    add_copies,
    disturb,
    draw_blanks,
    draw_pictures,
    to_input,
)
from lcmis.teacup.draw import PICTURE_SIZE
from lcmis.teacup.judge_text import (
    ANSWER,
    CHAT_TEMPLATE,
    IMAGE,
    QuestionAnswer,
    ask,
    make_tokenizer,
)
from lcmis.teacup.measure_checkers import JudgeReader, gather_cases, measure_judge, summarise
from lcmis.teacup.training import (
    LearningRate,
    LossLog,
    TrainOptions,
    fit,
    training_facts,
    write_card,
)

PATCH_SIZE = 32
"""The tower's stride: 16 tokens a picture."""
NUM_IMAGE_TOKENS = (PICTURE_SIZE // PATCH_SIZE) ** 2
DEFAULT_PICTURES = 30_000
DEFAULT_SAMPLES = 46_800
"""Pictures of the second phase, all cycles together, with eight exchanges each."""
TOWER_SHARE = 0.27
"""Pictures of the first phase as a share of the second's."""
BLANK_SHARE = 0.08
"""Share of the second phase's pictures that show nothing."""
CYCLE_RATES = (1.5e-3, 1.5e-3, 1e-3)
"""Where the rate starts anew: picking a letter is learned late, and at a high rate."""
NAMING_WEIGHT = 0.2


@dataclass(frozen=True)
class Packed:
    """Several exchanges about each picture, side by side in one row of tokens, blind to each other.

    Every row begins with the start token and the picture's tokens.
    """

    ids: Tensor
    """(batch, length)."""
    positions: Tensor
    """(batch, length), as if every exchange came right after the picture."""
    visible: Tensor
    """(batch, 1, length, length), whether a token may attend to another."""
    targets: Tensor
    """(batch, length), the next token where that belongs to an answer, else -100."""

    def to(self, device: str) -> Packed:
        """Move all parts to a device."""
        parts = (self.ids, self.positions, self.visible, self.targets)
        return Packed(*(part.to(device) for part in parts))


def pack(rows: Sequence[Sequence[QuestionAnswer]], tokenizer: PreTrainedTokenizerFast) -> Packed:
    """Lay the exchanges about each picture side by side."""
    flat = [exchange for row in rows for exchange in row]
    questions = tokenizer([e.question + ANSWER for e in flat], add_special_tokens=False).input_ids
    answers = tokenizer([e.answer for e in flat], add_special_tokens=False).input_ids
    encoded = iter(zip(questions, answers, strict=True))
    image_id = tokenizer.convert_tokens_to_ids(IMAGE)
    prefix = [tokenizer.bos_token_id, *[image_id] * NUM_IMAGE_TOKENS]
    ids: list[Tensor] = []
    positions: list[Tensor] = []
    parts: list[Tensor] = []
    targets: list[Tensor] = []
    for row in rows:
        row_ids, row_positions = list(prefix), list(range(len(prefix)))
        row_parts, row_targets = [0] * len(prefix), [-100] * len(prefix)
        for part in range(1, len(row) + 1):
            question, answer = next(encoded)
            length = len(question) + len(answer)
            row_ids += [*question, *answer]
            row_positions += range(len(prefix), len(prefix) + length)
            row_parts += [part] * length
            row_targets += [-100] * (len(question) - 1) + [*answer, tokenizer.eos_token_id]
        ids.append(torch.tensor(row_ids))
        positions.append(torch.tensor(row_positions))
        parts.append(torch.tensor(row_parts))
        targets.append(torch.tensor(row_targets))
    part_of = _stacked(parts, 0)
    length = part_of.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    related = (part_of[:, None, :] == 0) | (part_of[:, None, :] == part_of[:, :, None])
    return Packed(
        _stacked(ids, tokenizer.pad_token_id),
        _stacked(positions, 0),
        (earlier & related)[:, None],
        _stacked(targets, -100),
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Image processor, tokenizer and chat format as one."""
    size = {"height": PICTURE_SIZE, "width": PICTURE_SIZE}
    images = CLIPImageProcessor(
        size=size,
        crop_size=size,
        do_center_crop=False,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
    )


def build_judge(
    tokenizer: PreTrainedTokenizerFast, seed: int, *, tiny: bool = False
) -> FastVlmForConditionalGeneration:
    """An untrained model: 0.9 M parameters see, 1.0 M read and answer; ``tiny`` is for tests."""
    channels = [8, 16, 16, 32] if tiny else [32, 64, 128, 192]
    width, layers = (32, 1) if tiny else (128, 4)
    vision = TimmWrapperConfig(
        architecture="resnet18",
        model_args={"layers": [1, 1, 1, 1], "channels": channels},
        do_pooling=False,
        num_labels=0,
        hidden_size=channels[-1],
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    config = FastVlmConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=NUM_IMAGE_TOKENS,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FastVlmForConditionalGeneration(config)


def tower_steps(steps: int) -> int:
    """Steps of the first phase, whose batches are twice as large."""
    return max(1, round(steps * TOWER_SHARE / 2))


def answer_loss(model: FastVlmForConditionalGeneration, seen: Tensor, packed: Packed) -> Tensor:
    """Mean cross-entropy of the tokens of all answers.

    Args:
        model: the judge.
        seen: (batch, channels, 4, 4) from its tower.
        packed: what was asked about each picture.
    """
    words = model.model.language_model.embed_tokens(packed.ids)
    image = model.model.multi_modal_projector(seen.flatten(2).transpose(1, 2)).to(words.dtype)
    hidden = model.model.language_model(
        inputs_embeds=torch.cat([words[:, :1], image, words[:, 1 + NUM_IMAGE_TOKENS :]], dim=1),
        attention_mask=packed.visible,
        position_ids=packed.positions,
        use_cache=False,
    ).last_hidden_state
    answered = packed.targets != -100
    logits = model.lm_head(hidden[answered]).float()
    return F.cross_entropy(logits, packed.targets[answered])


def fit_judge(
    model: FastVlmForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    pictures: Pictures,
    options: TrainOptions,
    log: LossLog,
) -> None:
    """Train in place: the tower by naming, then everything by answering."""
    device, rng = options.device, random.Random(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    channels = model.config.vision_config.hidden_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        namer = Namer(channels).to(device)
    model.to(device).train()
    tower = model.model.vision_tower.to(memory_format=torch.channels_last)

    def look(shown: Sequence[int], num_blank: int) -> tuple[Tensor, list[Shown | None]]:
        pixels = pictures.pick(shown, rng)
        pixels[:num_blank] = draw_blanks(num_blank, rng)
        truth = [None] * num_blank + [pictures.shown[index] for index in shown[num_blank:]]
        disturbed = disturb(to_input(pixels).to(device), generator)
        return tower(disturbed).last_hidden_state, truth

    def naming_loss(seen: Tensor, truth: Sequence[Shown | None]) -> Tensor:
        known = [one is not None for one in truth]
        return namer.loss(
            seen.float().mean((2, 3))[torch.tensor(known)], [one for one in truth if one]
        )

    def tower_losses(_step: int) -> dict[str, Tensor]:
        chosen = rng.choices(range(len(pictures)), k=2 * options.batch_size)
        with options.autocast():
            seen, truth = look(chosen, 0)
        return {"naming": naming_loss(seen, truth)}

    def losses(_step: int) -> dict[str, Tensor]:
        chosen = rng.choices(range(len(pictures)), k=options.batch_size)
        with options.autocast():
            seen, truth = look(chosen, round(BLANK_SHARE * options.batch_size))
            packed = pack([ask(one, rng) for one in truth], tokenizer).to(device)
            answers = answer_loss(model, seen, packed)
        return {"answers": answers, "naming": NAMING_WEIGHT * naming_loss(seen, truth)}

    steps = options.steps(DEFAULT_SAMPLES)
    seeing = [*tower.parameters(), *namer.parameters()]
    fit(
        [LearningRate(seeing, 2e-3)], tower_losses, steps=tower_steps(steps), log=log, phase="tower"
    )
    everything = [*model.parameters(), *namer.parameters()]
    cycle_steps = max(1, steps // len(CYCLE_RATES))
    for cycle, peak in enumerate(CYCLE_RATES, start=1):
        phase = f"judge, cycle {cycle}"
        fit([LearningRate(everything, peak)], losses, steps=cycle_steps, log=log, phase=phase)
    model.eval()


def save_judge(
    model: FastVlmForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> None:
    """Write weights in half precision with configuration and processor.

    Half precision is for the disk alone: the configuration says float32.
    """
    half = {
        name: one.half() if one.is_floating_point() else one
        for name, one in model.state_dict().items()
    }
    model.save_pretrained(folder, state_dict=half)
    build_processor(tokenizer).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)


def train(options: TrainOptions) -> None:
    """Train from nothing; writes a transformers folder and a card.

    ``start`` is a folder with a finished ``teacup-broad``, whose autoencoder is used, and
    ``teacup-narrow`` and the oracle, by which the result is measured; by default the shipped ones.
    """
    start = options.start or shipped("data") / "teacup"
    log = LossLog(options.out)
    vae = AutoencoderKL.from_pretrained(start / "teacup-broad" / "vae", dtype=torch.float32)
    count = options.pictures or DEFAULT_PICTURES
    with options.autocast():
        pictures = add_copies(
            draw_pictures(count, options.seed), vae.to(options.device), count // 10, options.seed
        )
    tokenizer = make_tokenizer(options.seed)
    model = build_judge(tokenizer, options.seed, tiny=options.tiny)
    fit_judge(model, tokenizer, pictures, options, log)
    save_judge(model, tokenizer, options.out)
    seconds = log.seconds
    measured = {}
    if options.measure_seeds:
        reader = JudgeReader(options.out, options.device)
        measured = {
            name: summarise(measure_judge(reader, cases, options.seed))
            for name, cases in gather_cases(start, options).items()
        }
    steps = options.steps(DEFAULT_SAMPLES)
    write_card(
        options.out,
        {
            "title": "teacup-judge",
            "summary": "A vision-language model of the miniature world; answers yes or no, picks "
            "among options, describes.",
            "training": training_facts(
                options,
                data="pictures of all pairs alike often, one in ten also as autoencoder copy; "
                "eight exchanges on each",
                pictures=count,
                steps=steps,
                tower_steps=tower_steps(steps),
                seconds=round(seconds),
            ),
            "measured": measured,
        },
    )


def _stacked(rows: list[Tensor], padding: int) -> Tensor:
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding)
