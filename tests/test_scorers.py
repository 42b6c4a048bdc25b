"""CLIPScore, PickScore, HPS and ImageReward as papers used them; CLIP as transformers saves it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.transforms import v2
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, BertTokenizer
from worlds import tiny_checkers, tiny_scorers

from lcmis.check import likenesses_of, questions_for, questions_of
from lcmis.check.clip import ClipChecker
from lcmis.check.likeness import ClipScoreChecker
from lcmis.check.preference import PickScoreChecker, PreferenceChecker
from lcmis.check.reward import MEAN, STD, ImageRewardChecker
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.judge.likeness import clipscore
from lcmis.machine.pictures import flat
from lcmis.plugins.opening import open_checker
from lcmis.plugins.optional import may_decide
from lcmis.plugins.protocols import Checker
from lcmis.plugins.settings import CheckerSettings
from lcmis.testing import CheckerContract, contract_pair, contract_pictures
from lcmis.types import Concept, ConceptPair, Question, QuestionKind, Side

Folders = dict[str, Path]
LETTERS = Question(QuestionKind.RELATION, "a tea cup")


@pytest.fixture(scope="module")
def parts() -> tuple[torch.nn.Module, torch.nn.Module, torch.nn.Module]:
    return tiny_scorers.image_reward()


@pytest.fixture(scope="module")
def folders(
    tmp_path_factory: pytest.TempPathFactory, parts: tuple[torch.nn.Module, ...]
) -> Folders:
    root = tmp_path_factory.mktemp("scorers")
    return {
        "open_clip": tiny_checkers.tiny_clip(root / "open_clip"),
        "clip": tiny_scorers.towers("clip", root / "clip"),
        "siglip": tiny_scorers.towers("siglip", root / "siglip"),
        "reward": tiny_scorers.save_reward(parts, root / "reward"),
    }


def settings(kind: str, folder: Path) -> CheckerSettings:
    return CheckerSettings(kind, str(folder), device="cpu")


# ── the contract ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["clip", "siglip"])
class TestTowersKeepTheContract(CheckerContract):
    @pytest.fixture
    def checker(self, folders: Folders, name: str) -> Checker:
        return open_checker(settings("clip", folders[name]))


@pytest.mark.parametrize(
    ("kind", "name"), [("clipscore", "open_clip"), ("pickscore", "clip"), ("imagereward", "reward")]
)
class TestScorersKeepTheContract(CheckerContract):
    @pytest.fixture
    def checker(self, folders: Folders, kind: str, name: str) -> Checker:
        return open_checker(settings(kind, folders[name]))

    def test_it_decides_nothing(self, checker: Checker) -> None:
        assert not may_decide(checker)


# ── as transformers saves them ───────────────────────────────────────────────────────────────────


def features(folder: Path, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors of the contract's pictures and of texts, by transformers alone, one by one."""
    model = AutoModel.from_pretrained(folder).eval()
    pixels, tokenizer = (
        AutoImageProcessor.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    longest = {"padding": "max_length", "max_length": 32}
    with torch.inference_mode():
        seen = [
            model.get_image_features(**pixels(images=flat(picture), return_tensors="pt"))
            for picture in contract_pictures()
        ]
        read = []
        for text in texts:
            plain = tokenizer(text, return_tensors="pt")
            padded = tokenizer(text, return_tensors="pt", **longest)
            siglip = model.config.model_type == "siglip"
            inputs = {"input_ids": padded["input_ids"]} if siglip else plain
            inputs.pop("token_type_ids", None)
            read.append(model.get_text_features(**inputs))
    unit = torch.nn.functional.normalize
    return tuple(unit(torch.cat([one.pooler_output for one in some])) for some in (seen, read))


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_a_folder_of_transformers_gives_the_answers_of_transformers(
    folders: Folders, name: str
) -> None:
    question = next(one for one in questions_of(contract_pair()) if one.kind.is_choice)
    seen, read = features(folders[name], list(question.contrast))
    wanted = (math.e * seen @ read.T).softmax(dim=-1)
    given = open_checker(settings("clip", folders[name])).score(
        contract_pictures(), [question] * len(contract_pictures())
    )
    values = torch.tensor([[answer.value for answer in row] for row in given])
    assert (values - wanted).abs().max() < 1e-5
    assert values.std() > 1e-3, "a picture makes no difference"


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_gradients_reach_the_words_of_a_folder_of_transformers(folders: Folders, name: str) -> None:
    encoder = ClipChecker(settings("clip", folders[name])).encoder()
    table = encoder.vocabulary()
    rows = [
        next(i for i in range(len(table)) if encoder.text_of([i]) == letter) for letter in "cup"
    ]
    words = table[rows][None].clone().requires_grad_()
    spelled = encoder.read_embeddings(words)
    assert torch.allclose(spelled, encoder.read(["cup"]), atol=1e-5)
    spelled.sum().backward()
    assert words.grad is not None
    assert words.grad.abs().sum() > 0


def test_a_text_too_long_for_a_folder_of_transformers_is_an_abstention(folders: Folders) -> None:
    texts = ("a" * 30, "a" * 31)
    questions = [Question(QuestionKind.RELATION, text, contrast=(text, "b")) for text in texts]
    (fits,), (cut,) = ClipChecker(settings("clip", folders["clip"])).score(
        contract_pictures()[:2], questions
    )
    assert fits.value is not None
    assert "33 tokens long, and the text encoder reads 32" in cut.reason


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "with its tokenizer"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "preprocessor_config.json"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "cannot be loaded"),
        (lambda folder: drop(folder, "text_projection.weight"), "lack the tensor"),
    ],
)
def test_a_damaged_folder_of_transformers_is_a_sentence(
    tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    folder = tiny_scorers.towers("clip", tmp_path / "clip")
    damage(folder)
    checker = ClipChecker(settings("clip", folder))
    question = questions_of(contract_pair())[0]
    with pytest.raises(ConfigError, match=said):
        checker.score(contract_pictures()[:1], [question])


def drop(folder: Path, name: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_pickles_of_transformers_are_told_how_to_be_converted(tmp_path: Path) -> None:
    folder = tiny_scorers.towers("clip", tmp_path / "clip")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"`lcmis convert .*pytorch_model\.bin --into FOLDER`"):
        ClipChecker(settings("clip", folder))


# ── CLIPScore ────────────────────────────────────────────────────────────────────────────────────

DESCRIBED = ConceptPair(
    Concept("cup", "a small white vessel with a handle"), Concept("coke"), "coke in a cup"
)


def test_likeness_is_the_cosine_to_the_words_behind_a_photo_depicts(folders: Folders) -> None:
    (question,) = likenesses_of(DESCRIBED, Side.B)
    seen, read = features(folders["clip"], ["A photo depicts coke"])
    checker = ClipScoreChecker(settings("clipscore", folders["clip"]))
    pictures = contract_pictures()
    given = [row[0].value for row in checker.score(pictures, [question] * len(pictures))]
    assert given == pytest.approx((seen @ read.T).clamp(min=0).flatten().tolist(), abs=1e-5)


def test_a_concept_with_a_description_is_measured_by_both(folders: Folders) -> None:
    checker = ClipScoreChecker(settings("clipscore", folders["clip"]))
    asked = [one.text for one in questions_for(checker, DESCRIBED)]
    assert asked[-3:] == ["cup", "a small white vessel with a handle", "coke"]
    clip = ClipChecker(settings("clip", folders["clip"]))
    assert questions_for(clip, DESCRIBED) == questions_of(DESCRIBED)


def test_clipscore_takes_means_over_pictures_first_and_then_the_higher_text() -> None:
    """By hand: names 0.2 and 0.4, descriptions 0.35 and 0.15; picture by picture it were 0.9375."""
    assert clipscore([0.2, 0.4], [0.35, 0.15], 2.5) == pytest.approx(2.5 * 0.3)
    assert clipscore([0.2, 0.4], [0.35, 0.35], 2.5) == pytest.approx(2.5 * 0.35)
    assert clipscore([0.3, None], [], 2.5) == pytest.approx(0.75)
    assert clipscore([None], [None], 2.5) is None


def test_clipscore_is_forty_times_smaller_than_torchmetrics_of_the_same_texts(
    folders: Folders,
) -> None:
    """torchmetrics' rule is mean(100 · cos), clamped at 0 once it is a mean, without a prefix."""
    seen, read = features(folders["clip"], ["A photo depicts coke"])
    cosines = (seen @ read.T).flatten()
    theirs = torch.clamp((100 * cosines).mean(), min=0).item()
    ours = clipscore(cosines.clamp(min=0).tolist(), [], 2.5)
    assert ours is not None
    if (cosines >= 0).all():
        assert theirs == pytest.approx(40 * ours)
    else:
        assert theirs < 40 * ours


# ── preferences ──────────────────────────────────────────────────────────────────────────────────


def test_pickscore_times_the_models_scale_is_the_published_score(folders: Folders) -> None:
    seen, read = features(folders["clip"], [LETTERS.text])
    scale = AutoModel.from_pretrained(folders["clip"]).logit_scale.exp().item()
    published = scale * (seen @ read.T).flatten()
    checker = PickScoreChecker(settings("pickscore", folders["clip"]))
    given = checker.score(contract_pictures(), [LETTERS] * len(contract_pictures()))
    ours = torch.tensor([row[0].value for row in given]) * scale
    assert ours.tolist() == pytest.approx(published.clamp(min=0).tolist(), abs=1e-5)


@pytest.mark.parametrize("name", ["org/hps", "org/pick"])
def test_a_preference_model_is_looked_for_on_the_hub_by_its_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises((ConfigError, UnknownNameError), match=name):
        PreferenceChecker(CheckerSettings("hps", name, device="cpu"))


# ── ImageReward ──────────────────────────────────────────────────────────────────────────────────


def reward_of(parts: tuple[torch.nn.Module, ...], folder: Path, prompt: str) -> list[float]:
    """The published formula from timm's tower, transformers' BERT and plain layers."""
    sees, reads, head = parts
    transform = v2.Compose(
        [
            v2.Resize(32, interpolation=v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(32),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ]
    )
    words = BertTokenizer.from_pretrained(folder)(prompt, return_tensors="pt")
    length = words["input_ids"].shape[1]
    rewards = []
    with torch.inference_mode():
        for picture in contract_pictures():
            state = reads(
                input_ids=words["input_ids"],
                attention_mask=torch.zeros(1, 1, length, length),  # all see all, in both directions
                encoder_hidden_states=sees(transform(flat(picture))[None]),
            ).last_hidden_state
            rewards.append((head(state[:, 0]).item() - 0.16717362830052426) / 1.0333394966054072)
    return rewards


def test_the_value_gives_the_published_reward_back(
    folders: Folders, parts: tuple[torch.nn.Module, ...]
) -> None:
    wanted = reward_of(parts, folders["reward"], LETTERS.text)
    checker = ImageRewardChecker(settings("imagereward", folders["reward"]))
    given = checker.score(contract_pictures(), [LETTERS] * len(contract_pictures()))
    values = [row[0].value for row in given]
    assert None not in values
    ours = [math.log(value / (1 - value)) / STD for value in values]
    assert ours == pytest.approx(wanted, abs=1e-5)
    assert max(wanted) - min(wanted) > 1e-3, "a picture makes no difference"


def test_a_picture_as_good_as_the_average_is_preferred_in_half_of_all_cases() -> None:
    from lcmis.check.reward import _answer

    assert _answer(MEAN).value == pytest.approx(0.5)
    assert _answer(MEAN + math.log(3)).value == pytest.approx(0.75)
    assert _answer(1e9).value == 1.0
    assert _answer(-1e9).value == pytest.approx(0.0)
    assert _answer(math.nan).value is None


def test_a_prompt_longer_than_imagereward_reads_is_an_abstention(folders: Folders) -> None:
    checker = ImageRewardChecker(settings("imagereward", folders["reward"]))
    fits, cut = (Question(QuestionKind.RELATION, " ".join("a" * count)) for count in (33, 34))
    (one,), (other,) = checker.score(contract_pictures()[:2], [fits, cut])
    assert one.value is not None
    assert "36 tokens long, and the text encoder reads 35" in other.reason


def test_what_is_no_imagereward_is_a_sentence(tmp_path: Path, folders: Folders) -> None:
    folder = tmp_path / "reward"
    folder.mkdir()
    with pytest.raises(ConfigError, match="no safetensors"):
        ImageRewardChecker(settings("imagereward", folder))
    tensors = load_file(folders["reward"] / "model.safetensors")
    del tensors["blip.text_encoder.encoder.layer.1.crossattention.self.query.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ConfigError, match=r"no tokenizer\.json: put that of bert-base-uncased"):
        ImageRewardChecker(settings("imagereward", folder))
    tiny_scorers.save_words(folder)
    checker = ImageRewardChecker(settings("imagereward", folder))
    with pytest.raises(ConfigError, match=r"lack the tensor encoder\.layer\.1\.crossattention"):
        checker.score(contract_pictures()[:1], [LETTERS])
    save_file({"a": torch.zeros(2)}, folder / "model.safetensors")
    checker = ImageRewardChecker(settings("imagereward", folder))
    with pytest.raises(ConfigError, match="lack the tensor"):
        checker.score(contract_pictures()[:1], [LETTERS])
