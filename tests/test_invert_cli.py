"""``lcmis invert`` as a person meets it."""

import json

import pytest
from PIL import Image
from worlds import tiny_pipelines
from worlds.tiny_checkers import tiny_clip
from worlds.toy_inversion import BAD_PICTURES, INVERTERS, REFERENCE, damaged, halves, register
from worlds.toys import ToyModel

from lcmis.plugins import registry

TOOLS = ("-m", "toy", "--guide", "eyes:guide", "--guard", "eyes:guard", "--seeds", "3")


@pytest.fixture
def lcmis(lcmis, toys, monkeypatch):
    """``lcmis invert`` on the toys and no other method."""
    monkeypatch.setitem(registry.BUILT_IN, "inverters", {})
    register(monkeypatch)
    return lambda *words: lcmis("invert", *words)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    REFERENCE.save(path)
    return path


def test_methods_are_shown_side_by_side_and_what_fails_as_a_line(lcmis, picture):
    code, out, _ = lcmis(picture, *TOOLS, "--method", "errs, knows, fails", "--fluency", "letters")
    assert code == 0
    assert out.index("knows") < out.index("errs") < out.index("fails: it needs a denoiser")
    assert "rubine beside azure" in out
    assert "“a picture” reaches" in " ".join(out.split())
    assert "perplexity" in out


def test_without_methods_all_are_tried(lcmis, picture):
    code, out, _ = lcmis(picture, *TOOLS, "--text-model", "toy", "--json")
    found = json.loads(out)
    assert code == 0
    assert {one["method"] for one in found["inverted"]} == {name.lower() for name in INVERTERS}


def test_json_is_complete(lcmis, picture):
    asked = ("--method", "paints", "--pictures", "4", "--delete", "azure", "--fluency", "letters")
    code, out, _ = lcmis(picture, *TOOLS, *asked, "--json")
    (one,) = json.loads(out)["inverted"]
    assert code == 0
    assert (one["pictures"], one["spent"]) == (4, "its 4 pictures are spent")
    assert set(one) >= {"prompt", "found", "failure", "seconds", "text_calls", "inverter"}
    judged = one["judged"]
    assert set(judged["image_similarities"][0]) == {"value", "low", "high", "total"}
    assert -1 <= judged["text_similarities"][0] <= 1
    assert judged["perplexity"] > 0
    assert [painting["seed"] for painting in judged["paintings"]]
    assert json.loads(out)["made"][0]["judged"]["prompt"] == "rubine"
    assert {"model", "guard", "guide", "plain", "seconds"} <= set(json.loads(out))


def test_prompts_are_edited_joined_and_bred(lcmis, picture, tmp_path):
    other = tmp_path / "other.png"
    halves("amber", "lime").save(other)
    wishes = ("--replace", "azure=lime", "--delete", "rubine", "--join", other, "--evolve", other)
    code, out, _ = lcmis(picture, *TOOLS, "--method", "reads", *wishes, "--generations", "2")
    assert code == 0
    for said in ("rubine beside lime", "rubine beside azure and amber", "generation 2"):
        assert said in " ".join(out.split())


def test_pictures_prompts_and_masks_are_written_on_a_real_pipeline(lcmis, tmp_path):
    """Random weights, but every part is real: U-Net, text encoder, open_clip."""
    pipeline = tiny_pipelines.save("sd", tmp_path / "pipeline")
    encoder = tiny_clip(tmp_path / "clip")
    picture, out = tmp_path / "photo.png", tmp_path / "out"
    Image.effect_mandelbrot((90, 60), (-2, -1.5, 1, 1.5), 20).convert("RGB").save(picture)
    words = ("-m", pipeline, "--guard", f"clip:{encoder}", "--method", "errs", "--seeds", "2")
    code, said, err = lcmis(picture, *words, "--mask", "--out", out)
    assert (code, err.count("Traceback")) == (0, 0), err
    assert "each word of the best prompt covers" in " ".join(said.split())
    names = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    assert {"sheet.png", "prompts.json", "picture.png", "errs/1.png", "errs/2.png"} <= names
    with Image.open(out / "masks" / "1-lime.png") as mask:
        assert mask.size == (90, 60)
    assert json.loads((out / "prompts.json").read_text())["masks"][0]["word"] == "lime"


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_a_bad_picture_is_one_sentence_and_exit_code_2(lcmis, tmp_path, name):
    code, _, err = lcmis(damaged(tmp_path) / name, *TOOLS)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert str(tmp_path) in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--method", "pezz"], "pezz"),
        (["--replace", "azure"], "OLD=NEW"),
        (["--join", "nowhere.png"], "nowhere.png"),
        (["--evolve", "nowhere.png"], "nowhere.png"),
        (["--mask"], "--mask"),
        (["--generations", "0", "--delete", "a"], "--generations"),
        (["--seeds", "0"], "--seeds"),
        (["--out", "/proc/nothing"], "--out"),
        (["--guard", "eyes:guide"], "--guard"),
        (["--fluency", "nobody/has-this"], "nobody/has-this"),
        (["--text-model", "oracle"], "oracle"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_user_can_mend_is_one_sentence_and_exit_code_2(lcmis, picture, words, sentence):
    code, _, err = lcmis(picture, *TOOLS, "--method", "knows", *words)
    assert code == 2
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
    assert ToyModel.drawn == []


def test_a_model_of_ones_own_needs_a_judge_of_ones_own(lcmis, picture):
    code, _, err = lcmis(picture, "-m", "toy")
    assert (code, "--guard" in err) == (2, True)


def test_help_is_for_a_person(lcmis):
    code, out, _ = lcmis("--help")
    assert code == 0
    assert "How it is inverted" in out
    assert "What is made of the prompts" in out


def test_a_table_of_phrases_is_read_before_anything_else_and_refused_where_none_reads_it(
    lcmis, picture, tmp_path, monkeypatch
):
    table = tmp_path / "own.toml"
    table.write_text('subject = ["rubine beside azure"]\nmedium = ["photo"]\nflavour = ["lime"]\n')
    code, _, err = lcmis(picture, *TOOLS, "--method", "errs", "--table", table)
    assert code == 2
    assert "--table has no effect on errs: leave it out" in " ".join(err.split())
    where = "lcmis.invert.methods.interrogator:Interrogator"
    monkeypatch.setitem(registry.BUILT_IN["inverters"], "interrogator", where)
    asked = ("--method", "interrogator", "--table")
    code, _, err = lcmis(picture, *TOOLS, *asked, tmp_path / "missing.toml")
    assert code == 2
    assert "name a TOML file" in " ".join(err.split())
    code, out, _ = lcmis(picture, *TOOLS, *asked, table, "--json")
    assert code == 0
    assert json.loads(out)["inverted"][0]["prompt"].startswith("rubine beside azure")
