"""Checking: what is asked, CLIP as a contrast, and P(yes) of three families of models."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedTokenizerFast
from worlds import tiny_checkers

from lcmis.check import MAX_INTRUDERS, blank_picture, questions_of
from lcmis.check.clip import ClipChecker
from lcmis.check.preference import PreferenceChecker
from lcmis.check.vqa import VqaChecker, first_token_ids
from lcmis.check.wording import MASS_FLOOR
from lcmis.errors import CheckError, ConfigError, UnknownNameError
from lcmis.machine.hub import folder_revision
from lcmis.machine.pictures import flat
from lcmis.plugins.protocols import Checker
from lcmis.plugins.settings import CheckerSettings
from lcmis.testing import CheckerContract, contract_pair, contract_pictures
from lcmis.text.prompts import wording
from lcmis.types import (
    NONE_OF_THESE,
    Answer,
    Concept,
    ConceptPair,
    Intruder,
    Question,
    QuestionKind,
    Side,
)

Folders = dict[str, Path]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("checkers")
    return {
        "clip": tiny_checkers.tiny_clip(root / "clip"),
        "qwen": tiny_checkers.tiny_qwen(root / "qwen"),
        "llava": tiny_checkers.tiny_llava(root / "llava"),
        "idefics": tiny_checkers.tiny_idefics(root / "idefics"),
    }


@pytest.fixture(scope="session")
def clip(folders: Folders) -> ClipChecker:
    return ClipChecker(CheckerSettings("clip", str(folders["clip"]), device="cpu"))


@pytest.fixture(scope="session", params=["qwen", "llava", "idefics"])
def judge(request: pytest.FixtureRequest, folders: Folders) -> VqaChecker:
    return VqaChecker(CheckerSettings("vqa", str(folders[request.param]), device="cpu"))


@pytest.fixture
def copied(folders: Folders, tmp_path: Path) -> Callable[[str], Path]:
    """A folder of one's own, to be damaged."""
    return lambda name: Path(shutil.copytree(folders[name], tmp_path / name))


def ask(pair: ConceptPair, kind: QuestionKind) -> Question:
    return next(question for question in questions_of(pair) if question.kind is kind)


# ── the contract ─────────────────────────────────────────────────────────────────────────────────


class TestClipKeepsTheContract(CheckerContract):
    @pytest.fixture
    def checker(self, clip: ClipChecker) -> Checker:
        return clip


class TestVqaKeepsTheContract(CheckerContract):
    @pytest.fixture
    def checker(self, judge: VqaChecker) -> Checker:
        return judge


class TestPreferenceKeepsTheContract(CheckerContract):
    @pytest.fixture
    def checker(self, folders: Folders) -> Checker:
        return PreferenceChecker(CheckerSettings("hps", str(folders["clip"]), device="cpu"))


class RednessChecker:
    """Knows its answer: how much of the picture is red."""

    checker_id = "planted:redness@1"

    def takes(self, question: Question) -> bool:
        return not question.kind.is_choice

    def score(self, images: Any, questions: Any) -> list[tuple[Answer, ...]]:
        return [self._answer(*asked) for asked in zip(images, questions, strict=True)]

    def _answer(self, image: Image.Image | None, question: Question) -> tuple[Answer, ...]:
        if not self.takes(question):
            return ()
        if image is None:
            return (Answer(None, reason="there is no picture"),)
        pixels = np.asarray(image.convert("RGB")).astype(int)
        return (Answer(float((pixels[..., 0] > pixels[..., 1:].max(-1) + 50).mean())),)


class TestAPlantedCheckerKeepsTheContract(CheckerContract):
    @pytest.fixture
    def checker(self) -> Checker:
        return RednessChecker()

    def test_and_finds_what_was_planted(self, checker: Checker) -> None:
        question = ask(contract_pair(), QuestionKind.A_PRESENT)
        half_red = contract_pictures()[0]
        answers = checker.score([half_red, blank_picture(8, 8)], [question] * 2)
        assert [answer[0].value for answer in answers] == [40 / 64, 0.0]


# ── what is asked ────────────────────────────────────────────────────────────────────────────────


def test_a_pair_is_asked_for_both_concepts_their_relation_and_the_intruder() -> None:
    a, b, relation, intruder = questions_of(contract_pair())
    counterfactuals = ("a glass of iced coke", "a can of iced coke")
    assert (a.kind, a.text) == (QuestionKind.A_PRESENT, "tea cup")
    assert (b.kind, b.text) == (QuestionKind.B_PRESENT, "iced coke")
    assert a.contrast == relation.contrast == ("a tea cup of iced coke", *counterfactuals)
    assert b.contrast == ("a tea cup of iced coke",)
    assert (relation.kind, relation.text) == (QuestionKind.RELATION, "a tea cup of iced coke")
    assert intruder.kind is QuestionKind.INTRUDER_A
    assert set(intruder.options) == {"tea cup", "glass", "can", NONE_OF_THESE}


def test_the_prompts_of_a_choice_stand_in_the_order_of_its_options() -> None:
    intruder = ask(contract_pair(), QuestionKind.INTRUDER_A)
    assert intruder.options[-1] == NONE_OF_THESE
    assert intruder.contrast == tuple(f"a {name} of iced coke" for name in intruder.options[:-1])


def test_a_side_without_intruders_is_not_asked_for_one() -> None:
    kinds = {question.kind for question in questions_of(contract_pair())}
    assert QuestionKind.INTRUDER_B not in kinds


def test_a_choice_lists_the_likeliest_five_intruders() -> None:
    names = [f"vessel {i}" for i in range(8)]
    suspects = tuple(Intruder(Concept(n), Side.B, f"{n} and a spoon") for n in names)
    pair = ConceptPair(Concept("spoon"), Concept("tea cup"), "a tea cup and a spoon", (), suspects)
    options = ask(pair, QuestionKind.INTRUDER_B).options
    assert set(options) == {"tea cup", *names[:MAX_INTRUDERS], NONE_OF_THESE}


def test_the_asked_concept_stands_in_every_place_over_many_pairs() -> None:
    places = [0, 0, 0]
    for i in range(90):
        base = contract_pair()
        pair = ConceptPair(base.a, Concept(f"drink {i}"), base.prompt, (), base.intruders)
        places[ask(pair, QuestionKind.INTRUDER_A).options.index("tea cup")] += 1
    assert min(places) > 15


def test_the_questions_of_a_pair_never_change() -> None:
    assert questions_of(contract_pair()) == questions_of(contract_pair())
    keys = [question.key for question in questions_of(contract_pair())]
    assert len(set(keys)) == 4


def test_the_blank_picture_is_even_grey() -> None:
    blank = blank_picture(24, 16)
    assert blank.size == (24, 16)
    assert blank.getcolors() == [(24 * 16, (128, 128, 128))]


def test_importing_the_questions_loads_no_torch() -> None:
    loads = "import sys, lcmis.check, lcmis.check.clip, lcmis.check.vqa, lcmis.testing; "
    heavy = "print({'torch', 'open_clip', 'transformers'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", loads + heavy], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


# ── CLIP ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_contrast_is_the_soft_max_of_open_clips_own_features(
    clip: ClipChecker, folders: Folders
) -> None:
    name = f"local-dir:{folders['clip']}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    model.eval()
    question = ask(contract_pair(), QuestionKind.INTRUDER_A)
    for picture in contract_pictures():
        with torch.inference_mode():
            image = model.encode_image(transform(flat(picture))[None]).double().numpy()[0]
            texts = model.encode_text(tokenizer(list(question.contrast))).double().numpy()
        cosines = texts @ image / np.linalg.norm(texts, axis=1) / np.linalg.norm(image)
        powers = np.exp(math.exp(model.logit_scale.item()) * cosines)
        (given,) = clip.score([picture], [question])
        assert [answer.option for answer in given] == list(question.options[:-1])
        assert [answer.value for answer in given] == pytest.approx(powers / powers.sum(), abs=1e-5)


def test_presence_is_the_probability_of_the_asked_prompt(clip: ClipChecker) -> None:
    pair, picture = contract_pair(), contract_pictures()[0]
    present = ask(pair, QuestionKind.A_PRESENT)
    choice = ask(pair, QuestionKind.INTRUDER_A)
    (one,), given = clip.score([picture] * 2, [present, choice])
    named = {answer.option: answer.value for answer in given}
    assert one.value == pytest.approx(named["tea cup"], abs=1e-6)


def test_clip_says_nothing_without_a_counterfactual(clip: ClipChecker) -> None:
    alone = ask(contract_pair(), QuestionKind.B_PRESENT)
    assert not clip.takes(alone)
    assert clip.score(contract_pictures()[:1], [alone]) == [()]


def test_clip_abstains_from_a_text_longer_than_its_encoder_reads(clip: ClipChecker) -> None:
    fits = " ".join(["cup"] * 30)
    too_long = f"{fits} cup"
    short = Question(QuestionKind.RELATION, fits, contrast=(fits, "a glass"))
    long = Question(QuestionKind.RELATION, too_long, contrast=(too_long, "a glass"))
    (one,), (other,) = clip.score(contract_pictures()[:2], [short, long])
    assert one.value is not None
    assert other.value is None
    assert "33 tokens long, and the text encoder reads 32" in other.reason


def test_clip_looks_at_each_picture_once(clip: ClipChecker) -> None:
    loaded = clip._loaded()
    seen: list[int] = []
    hook = loaded.model.visual.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    pictures = contract_pictures()[:2]
    questions = questions_of(contract_pair())
    clip.score(
        [picture.copy() for picture in pictures for _ in questions], [*questions, *questions]
    )
    hook.remove()
    assert seen == [2]


def test_a_preference_is_the_cosine_of_a_picture_and_its_own_prompt(folders: Folders) -> None:
    model, _, transform = open_clip.create_model_and_transforms(
        f"local-dir:{folders['clip']}", require_pretrained=True
    )
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folders['clip']}")
    prompts = ("a tea cup", "iced coke", "a tea cup")
    questions = [Question(QuestionKind.RELATION, prompt) for prompt in prompts]
    pictures = contract_pictures()[:3]
    checker = PreferenceChecker(CheckerSettings("hps", str(folders["clip"]), device="cpu"))
    answers = checker.score(pictures, questions)
    for (answer,), picture, prompt in zip(answers, pictures, prompts, strict=True):
        with torch.no_grad():
            seen = model.eval().encode_image(transform(flat(picture))[None])
            read = model.encode_text(tokenizer([prompt]))
        cosine = torch.cosine_similarity(seen, read).item()
        assert answer.value == pytest.approx(max(cosine, 0.0), abs=1e-5)


# ── memory ───────────────────────────────────────────────────────────────────────────────────────


ON_A_GPU = torch.OutOfMemoryError("too much")
ON_A_CPU = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes")


def only(
    most: int, error: Exception = ON_A_GPU
) -> Callable[[torch.nn.Module, tuple[torch.Tensor, ...]], None]:
    """A forward pre-hook by which a model has memory for so many pictures and no more."""

    def refuse(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        if len(args[0]) > most:
            raise error

    return refuse


@pytest.mark.parametrize("error", [ON_A_GPU, ON_A_CPU], ids=["gpu", "cpu"])
@pytest.mark.parametrize("kind", ["clip", "vqa"])
def test_memory_that_runs_out_names_the_batch_size_that_fits(
    kind: str, error: Exception, folders: Folders
) -> None:
    name = {"clip": "clip", "vqa": "llava"}[kind]
    checker = {"clip": ClipChecker, "vqa": VqaChecker}[kind](
        CheckerSettings(kind, str(folders[name]), device="cpu")
    )
    loaded = checker._loaded().model
    tower = loaded.visual if kind == "clip" else loaded.model.vision_tower
    asked = [ask(contract_pair(), QuestionKind.A_PRESENT)] * 4
    before = checker.score(contract_pictures(), asked)
    hook = tower.register_forward_pre_hook(only(3, error))
    with pytest.raises(ConfigError, match="4 pictures at a time; 2 fit: set batch_size = 2"):
        checker.score(contract_pictures(), asked)
    hook.remove()
    assert checker.score(contract_pictures(), asked) == before


def test_memory_too_small_for_one_picture_says_what_else_helps(folders: Folders) -> None:
    clip = ClipChecker(CheckerSettings("clip", str(folders["clip"]), device="cpu"))
    clip._loaded().model.visual.register_forward_pre_hook(only(0))
    question = ask(contract_pair(), QuestionKind.A_PRESENT)
    with pytest.raises(ConfigError, match='also at one: set dtype = "bfloat16"'):
        clip.score(contract_pictures()[:1], [question])


# ── P(yes) ───────────────────────────────────────────────────────────────────────────────────────


def logits_of_one(folder: Path, picture: Image.Image, text: str) -> np.ndarray[Any, Any]:
    """The model's own forward pass over one row, without batches, padding or generation."""
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    content = [{"type": "image"}, {"type": "text", "text": text}]
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    inputs = processor(text=[prompt], images=[[picture.convert("RGB")]], return_tensors="pt")
    with torch.inference_mode():
        return model(**inputs).logits[0, -1].double().numpy()


def test_the_value_is_the_mass_of_yes_over_yes_and_no(judge: VqaChecker) -> None:
    folder = judge._located.path
    vocabulary = AutoProcessor.from_pretrained(folder).tokenizer.get_vocab()
    question = ask(contract_pair(), QuestionKind.A_PRESENT)
    text = wording("presence").replace("{text}", question.text)
    assert text == 'Does this image show "tea cup"? Answer yes or no.'
    for picture in contract_pictures()[:2]:
        powers = np.exp(logits_of_one(folder, picture, text))
        yes, no = (
            sum(powers[vocabulary[w]] for w in words) / powers.sum()
            for words in (("yes", "Yes", "YES"), ("no", "No", "NO"))
        )
        ((answer,),) = judge.score([picture], [question])
        assert answer.mass == pytest.approx(yes + no, abs=1e-5)
        assert answer.value == pytest.approx(yes / (yes + no), abs=1e-5)


def test_a_choice_is_the_mass_of_each_options_letter(judge: VqaChecker) -> None:
    folder = judge._located.path
    vocabulary = AutoProcessor.from_pretrained(folder).tokenizer.get_vocab()
    question = ask(contract_pair(), QuestionKind.INTRUDER_A)
    lines = "\n".join(f"{x}. {o}" for x, o in zip("ABCD", question.options, strict=True))
    text = f"Which of these does this image show?\n{lines}\nAnswer with the letter only."
    picture = contract_pictures()[0]
    powers = np.exp(logits_of_one(folder, picture, text))
    letters = np.array([powers[vocabulary[letter]] for letter in "ABCD"])
    (given,) = judge.score([picture], [question])
    assert [answer.option for answer in given] == list(question.options)
    assert given[0].mass == pytest.approx(letters.sum() / powers.sum(), abs=1e-5)
    assert [a.value for a in given] == pytest.approx(letters / letters.sum(), abs=1e-5)


def test_the_picture_moves_the_answer(judge: VqaChecker) -> None:
    question = ask(contract_pair(), QuestionKind.A_PRESENT)
    stripes, *_, blank = contract_pictures()
    (one,), (other,) = judge.score([stripes, blank], [question] * 2)
    assert one.mass != pytest.approx(other.mass, abs=1e-4)


def test_a_model_that_answers_something_else_abstains(copied: Callable[[str], Path]) -> None:
    folder = copied("llava")
    weights = load_file(folder / "model.safetensors")
    vocabulary = AutoProcessor.from_pretrained(folder).tokenizer.get_vocab()
    head = next(name for name in weights if name.endswith("lm_head.weight"))
    weights[head][:] = 0
    for name in weights:
        if name.endswith("language_model.norm.weight"):
            weights[name][:] = 0  # then every logit is 0: all tokens are equally likely
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    judge = VqaChecker(CheckerSettings("vqa", str(folder), device="cpu"))
    picture, choice = contract_pictures()[0], ask(contract_pair(), QuestionKind.INTRUDER_A)
    two = Question(choice.kind, choice.text, ("tea cup", NONE_OF_THESE))
    (given,) = judge.score([picture], [two])
    assert 2 / len(vocabulary) < MASS_FLOOR
    assert [answer.value for answer in given] == [None, None]
    assert given[0].mass == pytest.approx(2 / len(vocabulary), abs=1e-6)
    assert "of the probability is on the answers allowed" in given[0].reason


def test_a_concept_cannot_smuggle_in_a_control_token(judge: VqaChecker) -> None:
    trick = Question(QuestionKind.A_PRESENT, "cup</s>")
    honest = Question(QuestionKind.A_PRESENT, "cup")
    (tricked,), (answer,) = judge.score(contract_pictures()[:2], [trick, honest])
    assert tricked.value is None
    assert "'</s>'" in tricked.reason
    assert answer.mass < 1


def test_braces_in_a_name_are_just_letters(judge: VqaChecker) -> None:
    ((answer,),) = judge.score(
        contract_pictures()[:1], [Question(QuestionKind.A_PRESENT, "{options} {0} {text}")]
    )
    assert answer.mass < 1


def test_a_picture_is_described_in_few_words(judge: VqaChecker) -> None:
    pictures = contract_pictures()
    described = judge.describe(pictures)
    assert len(described) == len(pictures)
    assert described[1] == judge.describe(pictures[1:2])[0]
    assert all("<" not in text and len(text.split()) <= 40 for text in described)
    nothing: Any = None
    with pytest.raises(CheckError, match="no picture"):
        judge.describe([nothing])


def byte_level(words: list[str]) -> PreTrainedTokenizerFast:
    """GPT's and Qwen's way: bytes, a space as a letter of the word, merges for whole words."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges, vocabulary = [], list(alphabet)
    for word in words:
        for i in range(1, len(word)):
            if word[: i + 1] not in vocabulary:
                vocabulary.append(word[: i + 1])
                merges.append((word[:i], word[i]))
    tokenizer = Tokenizer(models.BPE({w: i for i, w in enumerate(vocabulary)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def sentencepiece(words: list[str]) -> PreTrainedTokenizerFast:
    """Llama's and Gemma's way: a word stands after a bar, which encoding puts before the first."""
    vocabulary = [("<unk>", 0.0), *((word, -1.0) for word in words)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def spelled(tokenizer: PreTrainedTokenizerFast, *answers: tuple[str, ...]) -> list[set[str]]:
    found = first_token_ids(tokenizer, answers)
    return [set(tokenizer.convert_ids_to_tokens(ids)) for ids in found]


def test_all_spellings_of_a_byte_level_vocabulary_count() -> None:
    tokenizer = byte_level(["Ġyes", "ĠNo", "Yes", "yes", "No"])
    yes, no = spelled(tokenizer, ("yes", "Yes", "YES"), ("no", "No", "NO"))
    assert yes == {"yes", "Yes", "Ġyes"}
    assert no == {"No", "ĠNo"}


def test_sentencepiece_words_count_with_and_without_their_bar() -> None:
    tokenizer = sentencepiece(["▁Yes", "Yes", "▁No", "No", "▁A", "A"])
    yes, no, letter = spelled(tokenizer, ("Yes",), ("No",), ("A",))
    assert yes == {"▁Yes", "Yes"}
    assert no == {"▁No", "No"}
    assert letter == {"▁A", "A"}


def test_where_no_spelling_is_a_token_its_first_token_stands_for_it_unless_shared() -> None:
    yes, no = spelled(byte_level([]), ("yes", "Yes"), ("no", "No"))
    assert yes == {"y", "Y"}
    assert no == {"n", "N"}


# ── loading safely ───────────────────────────────────────────────────────────────────────────────

CHECKERS = {"clip": ClipChecker, "qwen": VqaChecker}


def make(name: str, folder: Path | str, **settings: Any) -> Checker:
    checker: Checker = CHECKERS[name](CheckerSettings("x", str(folder), **settings))
    return checker


@pytest.mark.parametrize("name", CHECKERS)
def test_an_id_follows_the_content_of_its_folder(
    name: str, copied: Callable[[str], Path], folders: Folders
) -> None:
    folder = copied(name)
    assert make(name, folder).checker_id == make(name, folders[name]).checker_id
    assert folder_revision(folder) in make(name, folder).checker_id
    config = next(folder.glob("*config.json"))
    config.write_text(config.read_text() + " ")
    assert make(name, folder).checker_id != make(name, folders[name]).checker_id


@pytest.mark.parametrize("name", CHECKERS)
def test_pickled_weights_are_refused_before_loading(
    name: str, copied: Callable[[str], Path]
) -> None:
    folder = copied(name)
    weights = next(folder.glob("*.safetensors"))
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin, a pickle that can run code"):
        make(name, folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ConfigError, match="copy the model again, whole"):
        make(name, folder)


@pytest.mark.parametrize("name", CHECKERS)
def test_a_missing_tensor_is_an_error_not_random_numbers(
    name: str, copied: Callable[[str], Path]
) -> None:
    folder = copied(name)
    file = next(folder.glob("*.safetensors"))
    weights = load_file(file)
    lost = next(key for key in weights if "mlp" in key and key.endswith("weight"))
    del weights[lost]
    save_file(weights, file, metadata={"format": "pt"})
    question = ask(contract_pair(), QuestionKind.A_PRESENT)
    with pytest.raises(ConfigError, match=r"mlp.*copy (it|them) again, whole"):
        make(name, folder).score(contract_pictures()[:1], [question])


@pytest.mark.parametrize("name", CHECKERS)
@pytest.mark.parametrize("damage", ["half", "nan"])
def test_damaged_weights_are_an_error_that_names_the_model(
    name: str, damage: str, copied: Callable[[str], Path]
) -> None:
    folder = copied(name)
    file = next(folder.glob("*.safetensors"))
    if damage == "half":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        weights = load_file(file)
        next(tensor for tensor in weights.values() if tensor.ndim > 1)[0] = math.nan
        save_file(weights, file, metadata={"format": "pt"})
    question = ask(contract_pair(), QuestionKind.A_PRESENT)
    with pytest.raises(ConfigError, match=f"{name}.*copy it again"):
        make(name, folder).score(contract_pictures()[:1], [question])


@pytest.mark.parametrize("name", CHECKERS)
def test_a_folder_without_a_model_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no (open_clip_)?config\.json"):
        make(name, tmp_path)


@pytest.mark.parametrize("name", CHECKERS)
def test_a_device_that_is_not_there_is_refused(
    name: str, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigError, match="no NVIDIA GPU"):
        make(name, folders[name], device="cuda")


def test_a_clip_folder_cannot_bring_code_of_its_own(copied: Callable[[str], Path]) -> None:
    folder = copied("clip")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="code of its own"):
        make("clip", folder)


def test_a_misspelt_open_clip_model_lists_near_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"ViT-B-32"):
        make("clip", "ViT-B-33/openai")
    with pytest.raises(UnknownNameError, match="MODEL/TAG"):
        make("clip", "some words")
    with pytest.raises(UnknownNameError, match=r"no tag 'no-such-tag'; try .*laion2b"):
        make("clip", "ViT-B-32/no-such-tag")
    with pytest.raises(UnknownNameError, match=r"if acme/judge is .* write clip:hf-hub:acme/judge"):
        make("clip", "acme/judge")


def test_a_model_without_a_chat_template_is_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("qwen")
    (folder / "chat_template.jinja").unlink()
    question = ask(contract_pair(), QuestionKind.A_PRESENT)
    with pytest.raises(ConfigError, match="has no chat template"):
        make("qwen", folder).score(contract_pictures()[:1], [question])


def test_an_unknown_name_off_line_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match="hf download nobody/nothing"):
        make("qwen", "nobody/nothing")
