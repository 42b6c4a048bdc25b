"""An audit from Python: data frames, and what shows itself in a notebook."""

import html.parser
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from worlds import small_store
from worlds.repair_store import fill as fill_repairs
from worlds.small_store import BROAD, COKE, HOSTILE, NARROW

import lcmis
from lcmis import findings
from lcmis.errors import ConfigError, StoreError, UnknownNameError
from lcmis.export import frames

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_store.fill(tmp_path_factory.mktemp("opened") / "audit")


@pytest.fixture
def audit(folder):
    return lcmis.open(folder)


def test_importing_lcmis_loads_nothing_heavy_and_opening_loads_no_model_library(folder):
    code = (
        "import sys, lcmis; light = {'pandas', 'pyarrow', 'sqlalchemy'} & set(sys.modules);"
        f"lcmis.open({str(folder)!r}).pairs();"
        "print(*light, *({'torch', 'diffusers', 'streamlit'} & set(sys.modules)))"
    )
    asked = [sys.executable, "-c", code]
    assert subprocess.check_output(asked, text=True, cwd=ROOT).strip() == ""


def test_pairs_say_what_the_terminal_says_of_them(audit):
    found = findings.find_pairs(audit.store, audit.checker, rule=audit._rule)
    pairs = audit.pairs()
    assert list(pairs.prompt) == [one.pair.prompt for one in found]
    assert set(pairs.verdict) <= {"fails", "passes", "undecided", "unfinished"}
    coke = pairs[(pairs.pair == COKE.key) & (pairs.model_id == BROAD)].iloc[0]
    assert (coke.right, coke.judged, coke.not_judged) == (0, 7, 1)
    assert coke.painted_instead == "glass"
    assert coke.rate == 0
    assert 0 < coke.rate_high < 1


def test_what_nobody_judged_has_no_rate_and_is_no_zero(audit):
    roses = audit.pairs().query("model_id == @NARROW and a == 'pot'", local_dict={"NARROW": NARROW})
    assert roses.refused.item() == 4
    assert roses[["rate", "rate_low", "rate_high", "level_low"]].isna().all(axis=None)


def test_pictures_are_told_apart_by_what_they_were_drawn_for(audit):
    pictures = audit.pictures()
    assert dict(pictures.drawn_for.value_counts()) == {"audit": 28, "repair": 1, "control": 1}
    shown = pictures[pictures.refusal == ""]
    assert all(Path(file).is_file() for file in shown.file)
    refused = pictures[pictures.refusal != ""]
    assert list(refused.file) == [""] * len(refused)
    assert list(refused.right) == [None] * len(refused)
    right = pictures[(pictures.drawn_for == "audit") & pictures.right.eq(True)]
    assert set(right.verdict) == {"right"}


def test_scores_of_all_pictures_are_those_of_each(audit):
    scores = audit.scores()
    keys = [row for row in audit.pictures().picture if row in set(scores.picture)]
    one_by_one = [said for key in dict.fromkeys(keys) for _, said in audit.store.scores(key)]
    assert len(scores) == len(one_by_one)
    assert set(zip(scores.picture, scores.checker, scores.option, strict=True)) == {
        (one.render, one.checker, one.answer.option) for one in one_by_one
    }
    silent = scores[scores.probability.isna()]
    assert set(silent.reason) == {"no answer"}


def test_repairs_and_models_and_labels_are_frames_too(audit, tmp_path):
    assert list(audit.models().model) == ["broad", "narrow"]
    assert len(audit.labels()) == 0
    repaired = lcmis.open(fill_repairs(tmp_path / "repaired"))
    assert len(repaired.repairs()) == len(findings.find_repairs(repaired.store, repaired.checker))
    assert set(repaired.repairs().columns) >= {"prompt", "repaired", "before_right", "after_right"}


def test_every_frame_is_one_of_polars_and_of_arrow_too(folder):
    names = ("pairs", "pictures", "scores", "repairs", "models", "labels")
    arrow, pandas = lcmis.open(folder, frames="arrow"), lcmis.open(folder, frames="pandas")
    for name in names:
        table = getattr(arrow, name)()
        assert list(getattr(pandas, name)().columns) == table.column_names
        assert len(getattr(pandas, name)()) == table.num_rows
    polars = pytest.importorskip("polars")
    for name in names:
        table = getattr(lcmis.open(folder, frames="polars"), name)()
        assert isinstance(table, polars.DataFrame)
        assert table.columns == getattr(arrow, name)().column_names


def test_where_no_library_for_frames_is_installed_one_sentence_says_what_to_do(monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in frames.LIBRARIES else there(name)
    )
    with pytest.raises(ConfigError, match="no pandas or polars is installed here: pip install"):
        frames.library(None)
    assert frames.library("arrow") == "arrow"


def test_polars_is_taken_where_pandas_is_missing(monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pandas" else sys or there(name)
    )
    assert frames.library(None) == "polars"


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"frames": "excel"}, "pandas, polars, arrow"),
        ({"threshold": 0}, "threshold is 0, but it lies above 0"),
        ({"checker": "nobody"}, "no checker in this store"),
    ],
)
def test_what_cannot_be_is_one_sentence(folder, told, sentence):
    with pytest.raises((ConfigError, UnknownNameError), match=sentence):
        lcmis.open(folder, **told)


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(StoreError):
        lcmis.open(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


# ── what shows itself ─────────────────────────────────────────────────────────────────────────────


class Elements(html.parser.HTMLParser):
    """Every element that HTML makes, and what it would fetch."""

    def __init__(self, text):
        super().__init__()
        self.found, self.fetched, self.said = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.said += data


def test_a_pair_shows_its_pictures_and_the_same_in_words(audit):
    shown = audit.pair("tea cup of iced coke")
    page = Elements(shown._repr_html_())
    assert page.found.count("img") == 6 + 4
    assert all(one.startswith("data:image/webp;base64,") for one in page.fetched)
    for words in ("a tea cup of iced coke", "glass in", "fails", "no tea cup"):
        assert words in page.said
    assert "a tea cup of iced coke\nmodel" in str(shown)
    assert "glass in" in str(shown)


def test_a_picture_a_finding_and_a_comparison_show_themselves(audit):
    key = audit.pictures().picture[0]
    picture = audit.picture(key[3:15])
    assert Elements(picture._repr_html_()).found.count("img") == 1
    assert "a present: tea cup" in str(picture)
    finding = audit.findings()[0]
    assert "verdict" in str(finding)
    assert Elements(finding._repr_html_()).found.count("tr") == 2
    compared = audit.compare("broad", "narrow")
    assert Elements(compared._repr_html_()).found.count("img") == 2
    assert str(compared) == str(compared.found)
    assert "percentage points" in str(compared)
    assert "judged by" in str(audit)
    assert "table" in Elements(audit._repr_html_()).found


def test_hostile_text_is_text_in_a_notebook(audit):
    pair = next(pair for pair in audit.store.pairs() if pair.b.name == HOSTILE)
    for shown in (audit.pair(pair.key), *(f for f in audit.findings() if f.pair == pair)):
        page = Elements(shown._repr_html_())
        assert not any("evil" in one for one in page.fetched)
        assert HOSTILE in page.said


def test_a_refused_or_damaged_picture_is_said_and_breaks_nothing(tmp_path):
    audit = lcmis.open(small_store.fill(tmp_path / "audit"))
    refused = audit.pictures().query("refusal != ''").picture.iloc[0]
    assert "refused by the model: unsafe" in str(audit.picture(refused))
    assert Elements(audit.picture(refused)._repr_html_()).found.count("img") == 0
    for file in audit.pictures().query("refusal == ''").file:
        Path(file).unlink(missing_ok=True)
    assert "missing or damaged" in audit.pair("tea cup of iced coke")._repr_html_()
    assert "missing or damaged" in audit.compare("broad", "narrow")._repr_html_()


def test_words_for_several_pairs_or_none_are_named(audit):
    with pytest.raises(UnknownNameError, match="speaks of 3 pairs: say which"):
        audit.pair("of")
    with pytest.raises(UnknownNameError):
        audit.pair("zebra")
    with pytest.raises(UnknownNameError, match="is no picture's key"):
        audit.picture("tea cup of iced coke")
    with pytest.raises(UnknownNameError, match="is no pair"):
        audit.pair(audit.pictures().picture[0])


def test_a_kernel_of_jupyter_shows_what_a_notebook_shows(folder):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    cells = [
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import lcmis",
        f"audit = lcmis.open({str(folder)!r}); audit",
        "audit.pair('tea cup of iced coke')",
        "audit.picture(audit.pictures().picture[0])",
        "audit.compare('broad', 'narrow')",
        "audit.findings()[0]",
        "audit.pairs()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    nbclient.NotebookClient(notebook, timeout=None, kernel_name="python3").execute()
    for cell in notebook.cells[1:]:
        (output,) = cell.outputs
        assert {"text/html", "text/plain"} <= set(output.data), cell.source
    assert "glass in" in notebook.cells[2].outputs[0].data["text/plain"]
    assert "data:image/webp" in notebook.cells[2].outputs[0].data["text/html"]
