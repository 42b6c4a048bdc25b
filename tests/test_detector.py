"""Detectors of five families: the best box, the choice by boxes, and where boxes are kept."""

from __future__ import annotations

import dataclasses
import inspect
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING_NAMES,
)
from worlds import tiny_detectors
from worlds.toys import ToyModel

from lcmis.audit.config import load_config
from lcmis.check import questions_for, questions_of
from lcmis.check.detector import FAMILIES, NO_RELATION, DetectorChecker
from lcmis.errors import ConfigError
from lcmis.machine.pictures import flat
from lcmis.plugins.opening import open_checker
from lcmis.plugins.protocols import Checker
from lcmis.plugins.settings import CheckerSettings, ModelSettings
from lcmis.store import Store
from lcmis.testing import CheckerContract, contract_pair, contract_pictures
from lcmis.types import (
    NONE_OF_THESE,
    Answer,
    Box,
    Concept,
    ConceptPair,
    Intruder,
    Question,
    QuestionKind,
    Side,
    Stage,
)
from lcmis.workers.orders import Wish
from lcmis.workers.studio import Studio

Folders = dict[str, Path]
PAIR = ConceptPair(
    Concept("tea cup", synonyms=("teacup", "small mug")),
    Concept("iced coke"),
    "a tea cup of iced coke",
    intruders=(
        Intruder(Concept("glass", synonyms=("tumbler",)), Side.A, "a glass of iced coke"),
        Intruder(Concept("can"), Side.A, "a can of iced coke"),
    ),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("detectors")
    return {family: tiny_detectors.save(family, root / family) for family in FAMILIES}


@pytest.fixture(scope="module")
def detectors(folders: Folders) -> dict[str, DetectorChecker]:
    return {
        family: DetectorChecker(CheckerSettings("detect", str(folder), device="cpu"))
        for family, folder in folders.items()
    }


@pytest.fixture(params=tiny_detectors.FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def present(name: str, *synonyms: str) -> Question:
    return Question(QuestionKind.A_PRESENT, name, synonyms=(synonyms,) if synonyms else ())


class TestDetectorsKeepTheContract(CheckerContract):
    @pytest.fixture
    def checker(self, detectors: dict[str, DetectorChecker], family: str) -> Checker:
        return detectors[family]


def test_every_family_that_transformers_has_is_known() -> None:
    assert set(FAMILIES) == set(MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING_NAMES)


# ── what a detector says, by its own rule ────────────────────────────────────────────────────────

PROMPTS = {
    "owlvit": "a photo of a tea cup",
    "owlv2": "a photo of a tea cup",
    "grounding-dino": "tea cup.",
    "mm-grounding-dino": "tea cup.",
    "omdet-turbo": "tea cup",
}


def best_by_transformers(folder: Path, prompt: str, picture: Image.Image) -> tuple[float, Any]:
    """The highest score and its box in pixels, by the family's own post-processing."""
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    text: Any = [prompt] if prompt.endswith(".") else [[prompt]]
    inputs = processor(images=[picture], text=text, return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    (found,) = processor.post_process_grounded_object_detection(
        outputs, threshold=0.0, target_sizes=[(picture.height, picture.width)]
    )
    best = found["scores"].argmax()
    return float(found["scores"][best]), found["boxes"][best].tolist()


def test_presence_is_the_best_box_of_transformers_own_post_processing(
    detectors: dict[str, DetectorChecker], folders: Folders, family: str
) -> None:
    scores = []
    for picture in map(flat, contract_pictures()):
        wanted, box = best_by_transformers(folders[family], PROMPTS[family], picture)
        (answer,) = detectors[family].score([picture], [present("tea cup")])[0]
        assert answer.value == pytest.approx(wanted, abs=1e-5)
        assert answer.box is not None
        edges = (answer.box.left, answer.box.top, answer.box.right, answer.box.bottom)
        sides = (picture.width, picture.height) * 2
        within = [min(max(edge / side, 0), 1) for edge, side in zip(box, sides, strict=True)]
        assert edges == pytest.approx(within, abs=1e-4)
        assert answer.box.words == "tea cup"
        scores.append(wanted)
    assert max(scores) - min(scores) > 1e-3, "a picture makes no difference"


def test_the_usual_threshold_is_that_of_transformers(folders: Folders, family: str) -> None:
    processor = AutoProcessor.from_pretrained(folders[family])
    rule = inspect.signature(processor.post_process_grounded_object_detection)
    assert FAMILIES[family].none_below == rule.parameters["threshold"].default


def test_synonyms_are_looked_for_and_the_best_name_is_told(
    detectors: dict[str, DetectorChecker], family: str
) -> None:
    detector, picture = detectors[family], contract_pictures()[0]
    names = ("tea cup", "teacup", "small mug")
    alone = [detector.score([picture], [present(name)])[0][0] for name in names]
    (together,) = detector.score([picture], [present(*names)])[0]
    best = max(alone, key=lambda answer: answer.value or 0.0)
    assert together.value == pytest.approx(best.value, abs=1e-6)
    assert together.box is not None
    assert together.box.words == best.box.words  # type: ignore[union-attr]


def test_neighbours_of_another_size_change_nothing(
    detectors: dict[str, DetectorChecker], family: str
) -> None:
    """Whoever pads a picture to its neighbour's size sees another picture."""
    small, large = contract_pictures()[0], Image.radial_gradient("L").resize((160, 96))
    asked = present("tea cup")
    alone = detectors[family].score([small], [asked])[0][0]
    beside = detectors[family].score([large, small], [asked] * 2)[1][0]
    assert beside.value == pytest.approx(alone.value, abs=1e-5)


def test_a_relation_is_an_abstention_with_its_reason(
    detectors: dict[str, DetectorChecker],
) -> None:
    question = questions_of(PAIR)[2]
    assert question.kind is QuestionKind.RELATION
    assert detectors["owlv2"].score(contract_pictures()[:1], [question]) == [
        (Answer(None, reason=NO_RELATION),)
    ]


def test_a_full_stop_in_a_name_does_not_make_two_things_of_it(
    detectors: dict[str, DetectorChecker],
) -> None:
    picture = contract_pictures()[0]
    dotted, plain = (
        detectors["grounding-dino"].score([picture], [present(name)])[0][0].value
        for name in ("st. bernard", "st bernard")
    )
    assert dotted == plain


@pytest.mark.parametrize("name", ["...", "?"])
def test_a_name_of_separators_alone_is_an_abstention(
    detectors: dict[str, DetectorChecker], name: str
) -> None:
    (answer,) = detectors["grounding-dino"].score(contract_pictures()[:1], [present(name)])[0]
    assert "names nothing that could be looked for" in answer.reason


def test_a_name_longer_than_the_detector_reads_is_an_abstention(
    detectors: dict[str, DetectorChecker], family: str
) -> None:
    reads = {"owlvit": 32, "owlv2": 32, "omdet-turbo": 77}.get(family, 64)
    told = {"omdet-turbo": "Detect {}.", "owlvit": "a photo of a {}", "owlv2": "a photo of a {}"}
    fits = reads - 2 - len(told.get(family, "{}.").format(""))
    picture = contract_pictures()[0]
    (answer,) = detectors[family].score([picture], [present("a" * fits)])[0]
    assert answer.value is not None, answer.reason
    (answer,) = detectors[family].score([picture], [present("a" * (fits + 1))])[0]
    assert f"{reads + 1} tokens long, and the detector reads {reads}" in answer.reason


def test_a_synonym_that_cannot_be_read_does_not_silence_the_name(
    detectors: dict[str, DetectorChecker], family: str
) -> None:
    picture = contract_pictures()[0]
    alone, beside, unnamed = (
        detectors[family].score([picture], [question])[0][0]
        for question in (present("cup"), present("cup", "a" * 80), present("a" * 80, "cup"))
    )
    assert beside == alone
    assert unnamed.value is None


# ── forced choice ────────────────────────────────────────────────────────────────────────────────


def test_a_choice_gives_each_option_its_share_and_none_of_these_the_threshold(
    detectors: dict[str, DetectorChecker], family: str
) -> None:
    detector = detectors[family]
    choice = next(one for one in questions_for(detector, PAIR) if one.kind.is_choice)
    for picture in contract_pictures():
        given = {one.option: one for one in detector.score([picture], [choice])[0]}
        assert list(given) == list(choice.options)
        assert sum(answer.value or 0.0 for answer in given.values()) == pytest.approx(1.0)
        best = {
            option: detector.score([picture], [present(option, *synonyms)])[0][0].value
            for option, synonyms in zip(choice.options, choice.synonyms, strict=True)
            if option != NONE_OF_THESE
        }
        whole = sum(value or 0.0 for value in best.values()) + detector.none_below
        for option, value in best.items():
            assert given[option].value == pytest.approx((value or 0.0) / whole, abs=1e-5)
            assert given[option].box is not None
        assert given[NONE_OF_THESE].value == pytest.approx(detector.none_below / whole, abs=1e-5)
        assert given[NONE_OF_THESE].box is None


def test_none_of_these_wins_just_where_no_box_reaches_the_threshold(folders: Folders) -> None:
    choice = next(one for one in questions_of(PAIR) if one.kind.is_choice)
    picture = contract_pictures()[0]
    given = CheckerSettings("detect", str(folders["owlv2"]), device="cpu")
    usual = DetectorChecker(given).score([picture], [choice])[0]
    scores = [
        DetectorChecker(given).score([picture], [present(option)])[0][0].value or 0.0
        for option in choice.options[:-1]
    ]
    assert len(usual) == 4
    for none_below, wins in ((max(scores) - 1e-3, False), (max(scores) + 1e-3, True)):
        checker = DetectorChecker(dataclasses.replace(given, none_below=none_below))
        answers = checker.score([picture], [choice])[0]
        likeliest = max(answers, key=lambda answer: answer.value or 0.0)
        assert (likeliest.option == NONE_OF_THESE) is wins


def test_the_threshold_is_part_of_the_id_and_scores_of_two_are_never_mixed(
    folders: Folders,
) -> None:
    given = CheckerSettings("detect", str(folders["owlvit"]), device="cpu")
    usual, other = (
        DetectorChecker(dataclasses.replace(given, none_below=value)).checker_id
        for value in (None, 0.2)
    )
    assert usual.endswith("-none0.1")
    assert other.endswith("-none0.2")


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, math.nan])
def test_a_threshold_outside_of_0_to_1_is_refused(folders: Folders, value: float) -> None:
    with pytest.raises(ConfigError, match=r"none_below is .*, but it lies between 0 and 1"):
        DetectorChecker(CheckerSettings("detect", str(folders["owlvit"]), none_below=value))


def test_the_threshold_is_refused_where_it_has_no_effect() -> None:
    with pytest.raises(ConfigError, match="none_below has no effect on teacup-clip"):
        open_checker(CheckerSettings("teacup-clip", none_below=0.2))


def test_a_file_sets_the_threshold(tmp_path: Path, folders: Folders) -> None:
    file = tmp_path / "audit.toml"
    file.write_text(
        f'[[checkers]]\nkind = "detect"\nname = "{folders["owlvit"]}"\nnone_below = 0.2\n'
    )
    (entry,) = load_config(file).checkers
    assert open_checker(entry).checker_id.endswith("-none0.2")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"config.json": None}, "has no config.json"),
        ({"config.json": "{}"}, "names no model_type"),
        ({"config.json": '{"model_type": "llava"}'}, "is a llava and finds no things"),
        ({"model.safetensors": None}, "has no safetensors"),
    ],
)
def test_what_is_no_detector_is_a_sentence(
    folders: Folders, tmp_path: Path, damage: dict[str, str | None], said: str
) -> None:
    folder = Path(shutil.copytree(folders["owlvit"], tmp_path / "owl"))
    for name, content in damage.items():
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_text(content)
    with pytest.raises(ConfigError, match=said):
        DetectorChecker(CheckerSettings("detect", str(folder), device="cpu"))


def test_pickled_weights_of_a_detector_are_told_how_to_be_converted(
    folders: Folders, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders["owlvit"], tmp_path / "owl"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"`lcmis convert .*pytorch_model\.bin --into FOLDER`"):
        DetectorChecker(CheckerSettings("detect", str(folder), device="cpu"))


# ── what is asked, and what is kept ──────────────────────────────────────────────────────────────


def test_questions_say_synonyms_only_to_who_reads_them(
    detectors: dict[str, DetectorChecker],
) -> None:
    a, b, relation, choice = questions_for(detectors["owlvit"], PAIR)
    plain = questions_of(PAIR)
    assert a.synonyms == (("teacup", "small mug"),)
    assert (b, relation) == (plain[1], plain[2]), "what has no synonyms keeps its key"
    named = dict(zip(choice.options, choice.synonyms, strict=True))
    assert named["tea cup"] == ("teacup", "small mug")
    assert (named["glass"], named["can"], named[NONE_OF_THESE]) == (("tumbler",), (), ())
    assert dataclasses.replace(choice, synonyms=()) == plain[3]
    assert questions_of(contract_pair(), synonyms=True) == questions_of(contract_pair())


def test_boxes_are_facts_of_the_store(
    detectors: dict[str, DetectorChecker], tmp_path: Path
) -> None:
    model, detector = ToyModel(ModelSettings("toy", scheduler="right")), detectors["owlvit"]
    pair = ConceptPair(
        Concept("rubine", synonyms=("red",)), Concept("azure"), "rubine beside azure"
    )
    spec = model.spec((Stage(pair.prompt),), 0)
    asked = [(spec.key, question) for question in questions_for(detector, pair)]
    with Store(tmp_path, create=True) as store:
        store.add_pairs([pair])
        studio = Studio(store, 5)
        studio.make([Wish(pair, model, (spec,), ((detector, questions_for(detector, pair)),))])
        picture = studio.load(spec.key)
        kept = {question: score.answer for question, score in store.scores(spec.key)}
        wanted = detector.score([picture] * 3, [question for _, question in asked])
        (line,) = store.evidence(detector.checker_id)
        assert store.unscored(detector.checker_id, asked) == []
        assert list(store.verify()) == []
    assert kept == {question: given[0] for (_, question), given in zip(asked, wanted, strict=True)}
    assert kept[asked[0][1]].box is not None
    assert (line.a, line.relation) == (kept[asked[0][1]].value, None)


@pytest.mark.parametrize("edges", [(-0.1, 0, 1, 1), (0, 0, 1, 1.1), (0.6, 0, 0.5, 1)])
def test_a_box_lies_within_its_picture(edges: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="a box lies within the picture"):
        Box(*edges)
    assert Box(0, 0, 1, 1).words == ""
