"""Plugins of every kind: listed, named in helps, completed, and brought by another package."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from worlds.installed import forget_packages

from lcmis.audit.config import load_config
from lcmis.audit.template import template
from lcmis.cli.registered import known
from lcmis.cli.terminal.plugins import HINTS
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.plugins import registry
from lcmis.plugins.opening import open_checker, open_model
from lcmis.plugins.settings import CheckerSettings, HostedSettings, ModelSettings

ROOT = Path(__file__).parent.parent
THEIRS = ROOT / "tests" / "assets" / "third-party"

NAMED_IN = {  # the flag or argument of a command whose help lists a kind
    ("audit", "--model"): ("models",),
    ("audit", "--checker"): ("checkers",),
    ("audit", "--pairs"): ("catalogues",),
    ("repair", "--method"): ("repairers",),
    ("repair", "--guard"): ("checkers",),
    ("repair", "--text-model"): ("text_models",),
    ("repair", "--writer"): ("writers",),
    ("propose", "--text-model"): ("text_models",),
    ("evolve", "--text-model"): ("text_models",),
    ("evolve", "--score"): ("checkers",),
    ("invert", "--method"): ("inverters",),
    ("invert", "--model"): ("models",),
    ("invert", "--guide"): ("checkers",),
    ("invert", "--text-model"): ("text_models",),
    ("invert", "--writer"): ("writers",),
    ("invert", "--fluency"): ("language_models",),
    ("import", "--format"): ("importers",),
    ("export", "form"): ("exporters",),
    ("publish", "form"): ("publishers",),
}
WORDS = re.compile(r"[\w-]+")


@pytest.fixture(scope="module")
def helps():
    """Command → the help of each flag and argument, as it is shown."""
    import typer

    from lcmis.cli import app

    group = typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():
        context = command.make_context(name, [], resilient_parsing=True)
        command.get_help(context)
        for parameter in command.params:
            said = getattr(parameter, "help", "") or ""
            found |= {
                (name, word): said for word in parameter.opts if word not in ("-m", "-c", "-p")
            }
    return found


@pytest.mark.parametrize(("flag", "kinds"), NAMED_IN.items(), ids=lambda one: "-".join(one))
def test_a_help_names_all_that_is_registered_of_its_kind_and_nothing_else(helps, flag, kinds):
    said = set(WORDS.findall(helps[flag]))
    for kind in kinds:
        assert set(known(kind)) <= said
    strangers = {
        name
        for other in registry.KINDS
        for name in registry.names(other)
        if other not in kinds and not any(name in known(kind) for kind in kinds) and "-" in name
    }
    assert said & strangers == set()


def test_no_help_shows_a_placeholder_or_another_list_of_names(helps):
    for flag, said in helps.items():
        assert not re.search(r"\{\w+\}", said), flag
        if flag not in NAMED_IN:
            for kind in ("repairers", "inverters", "importers", "exporters", "publishers"):
                listed = set(known(kind)) & set(WORDS.findall(said))
                assert len(listed) < 3, (flag, listed)


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_plugin_has_a_line_and_a_package_and_can_be_loaded(kind):
    for entry in registry.describe(kind):
        assert (entry.kind, entry.package) == (kind, "lcmis")
        assert entry.summary, entry
        assert registry.load(kind, entry.name) is not None
    assert registry.summary(registry.KINDS[kind])


def test_plugins_lists_all_kinds_one_kind_or_json(lcmis):
    code, out, _ = lcmis("plugins")
    assert code == 0
    for kind in registry.KINDS:
        assert f"{kind}:" in out
        assert all(name in out for name in registry.names(kind))
    assert "pez-denoiser" in lcmis("plugins", "repairers")[1]
    listed = json.loads(lcmis("plugins", "text-models", "--json")[1])
    assert {one["name"] for one in listed} == set(registry.names("text_models"))
    code, _, said = lcmis("plugins", "painters")
    assert code == 2
    assert "there are models, checkers" in said


def test_a_kind_is_a_group_that_the_registry_knows():
    assert set(registry.KINDS) <= set(registry.BUILT_IN)


def test_the_help_of_a_command_pays_for_the_names_and_that_of_lcmis_does_not():
    code = (
        "import sys; from lcmis.plugins import registry; from lcmis import cli\n"
        "registry._installed = None\n"
        "try: cli.app(['--help'], prog_name='lcmis')\n"
        "except SystemExit: print('asked nobody')"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, cwd=ROOT)
    assert "asked nobody" in done.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["repair", "--method", "pez"], ["pez", "pez-denoiser"]),
        (["audit", "-p", "every"], ["everyday"]),
        (["audit", "-c", "teacup-g"], ["teacup-guard"]),
        (["export", "come"], []),
        (["export", "com"], ["comfyui"]),
        (["plugins", "im"], ["importers"]),
        (["import", "--format", "tifa"], ["tifa", "tifa-text"]),
    ],
)
def test_the_tab_key_completes_registered_names(lcmis, monkeypatch, tmp_path, typed, offered):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("_LCMIS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(["lcmis", *typed]))
    monkeypatch.setenv("COMP_CWORD", str(len(typed)))
    assert lcmis()[1].split() == offered


def test_the_tab_key_completes_files_where_a_file_may_be_named(lcmis, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "everything").mkdir()
    (tmp_path / "everything" / "mine.csv").touch()
    monkeypatch.setenv("_LCMIS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_CWORD", "3")
    for typed, offered in (
        ("every", ["everyday", "everything/"]),
        ("everything/m", ["everything/mine.csv"]),
    ):
        monkeypatch.setenv("COMP_WORDS", f"lcmis audit -p {typed}")
        assert lcmis()[1].split() == offered


# ── audit.toml ───────────────────────────────────────────────────────────────────────────────────


def test_init_writes_a_file_that_says_what_no_file_says(lcmis, tmp_path):
    path = tmp_path / "audit.toml"
    assert lcmis("init", path)[0] == 0
    assert load_config(path) == load_config()


def test_every_default_that_it_shows_is_accepted_when_it_is_taken_in(tmp_path):
    shown = re.sub(r"^#(?=[\w]+ = (?!…))", "", template(), flags=re.M)
    path = tmp_path / "all.toml"
    tables = r"models\.\w+|checkers\.\w+|text_model|workers\.\w+"
    inside_optional = re.compile(rf"^#\[+(?:{tables})\]+$.*?(?=^#?\[|\Z)", re.M | re.S)
    path.write_text(inside_optional.sub("", inside_optional.sub("", shown)), "utf-8")
    assert load_config(path) == load_config()
    assert tomllib.loads(path.read_text("utf-8"))["stopping"]["cap"] == 20


def test_it_comments_every_setting_and_names_no_secret():
    lines = template().splitlines()
    for before, line in itertools.pairwise(lines):
        if re.match(r"#\w+ = ", line):
            assert before.startswith("# "), line
    assert not re.search(r"^#?key = ", template(), re.M)


def test_init_replaces_nothing_unless_it_is_told_to(lcmis, tmp_path):
    path = tmp_path / "audit.toml"
    path.write_text("mine")
    code, _, said = lcmis("init", path)
    assert code == 2
    assert "--force" in said
    assert path.read_text() == "mine"
    assert lcmis("init", path, "--force")[0] == 0
    assert lcmis("init", tmp_path / "no" / "audit.toml")[0] == 2


# ── another package ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """The package of tests/assets/third-party, built and installed into a folder by pip."""
    source = shutil.copytree(THEIRS, tmp_path_factory.mktemp("source") / "verse")
    target = tmp_path_factory.mktemp("installed")
    pytest.importorskip("pip", reason="it is pip that installs their package")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", target]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, source], check=True)
    return target


@pytest.fixture
def beside(theirs, monkeypatch):
    """Their package on the path of this process; what was looked up before is forgotten."""
    monkeypatch.syspath_prepend(theirs)
    forget_packages()
    yield theirs
    monkeypatch.undo()
    forget_packages()


def test_another_packages_plugins_are_listed_with_its_name(beside, lcmis):
    listed = json.loads(lcmis("plugins", "--json")[1])
    theirs = {
        (one["kind"], one["name"], one["summary"])
        for one in listed
        if one["package"] == "lcmis-verse"
    }
    assert theirs == {
        (
            "models",
            "verse-halves",
            "Paints two coloured halves, the left one only where it is asked for aloud.",
        ),
        ("checkers", "verse-eye", "Tells by a colour whether a word was painted."),
        ("repairers", "verse-louder", "Asks for everything in capitals."),
        ("importers", "verse", "Verses, each with the two things that it sings of."),
        ("exporters", "verse", "A line to sing for each repair."),
    }
    assert "lcmis-verse" in lcmis("models")[1]


def test_another_packages_plugins_import_audit_repair_and_export(beside, lcmis, tmp_path):
    verses = tmp_path / "verses.jsonl"
    verses.write_text(
        '{"verse": "a sun and a moon", "one": "sun", "other": "moon"}\n'
        '{"verse": "a cat and a fiddle", "one": "cat", "other": "fiddle"}\n',
        "utf-8",
    )
    pairs, store = tmp_path / "pairs.jsonl", tmp_path / "audit"
    code, out, said = lcmis("import", verses, "--into", pairs)
    assert (code, said) == (0, "")
    assert "Verses" in out
    asked = ["-m", "verse-halves", "-c", "verse-eye", "-c", "verse-eye:right"]
    asked += ["-p", pairs, "--store", store]
    assert lcmis("audit", *asked)[0] == 0
    assert lcmis("repair", *asked, "--method", "verse-louder")[0] == 0
    assert lcmis("export", "verse", tmp_path / "out.song", "--store", store)[0] == 0
    sung = (tmp_path / "out.song").read_text("utf-8").splitlines()
    assert sorted(sung) == ["♪ A CAT AND A FIDDLE", "♪ A SUN AND A MOON"]


def test_their_format_takes_no_file_from_a_published_set(beside, tmp_path):
    from lcmis.propose.formats import open_set

    file = tmp_path / "both.csv"
    file.write_text("prompt,include,verse,one,other\nx,y,x,y,z\n", "utf-8")
    assert open_set(file).format.name == "geneval"
    file.write_text("prompt,verse,one,other\nx,x,y,z\n", "utf-8")
    assert open_set(file).format.name == "verse"


def test_their_plugins_pass_the_contracts_that_lcmis_has_for_them(theirs, tmp_path):
    """As their author would run them: in a project of its own that knows lcmis and pytest alone."""
    (tmp_path / "test_verse.py").write_text(
        "import pytest\n"
        "from lcmis.plugins.settings import CheckerSettings, ModelSettings\n"
        "from lcmis.testing import ImageModelContract, RepairerContract\n"
        "from verse import Halves, Louder\n"
        "class TestHalves(ImageModelContract):\n"
        "    def make(self):\n"
        "        return Halves(ModelSettings('verse-halves'))\n"
        "class TestLouder(RepairerContract):\n"
        "    def make(self):\n"
        "        return Louder()\n",
        "utf-8",
    )
    path = os.pathsep.join([str(theirs), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_verse.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout


class _Point:
    """An entry point of a package that is not really there."""

    def __init__(self, name, value):
        self.name, self.value, self.dist = name, value, None


def test_two_packages_with_one_name_are_an_error_that_names_both(monkeypatch):
    monkeypatch.setattr(registry, "_installed", lambda kind: [_Point("clip", "elsewhere:Clip")])
    with pytest.raises(ConfigError, match=r"two checkers are called 'clip'.*of lcmis.*elsewhere"):
        registry.names("checkers")


def test_a_plugin_that_is_not_there_is_the_fault_of_its_package(monkeypatch):
    monkeypatch.setattr(registry, "_installed", lambda kind: [_Point("gone", "gone.away:Eye")])
    assert [one.summary for one in registry.describe("checkers") if one.name == "gone"] == [""]
    with pytest.raises(ConfigError, match=r"checker 'gone' of gone cannot be imported"):
        registry.load("checkers", "gone")
    with pytest.raises(UnknownNameError, match="no text model is called 'opennai'; try openai"):
        registry.load("text_models", "opennai")


def test_every_kind_says_how_it_is_asked_for():
    assert set(HINTS) == set(registry.KINDS)


@pytest.mark.parametrize("said", [0, -8])
@pytest.mark.parametrize(
    "name", ["batch_size", "height", "width", "num_inference_steps", "threads"]
)
@pytest.mark.parametrize("model", ["teacup-narrow", "hosted:x"])
def test_none_of_what_there_is_at_least_one_is_refused_whatever_draws(model, name, said):
    hosted = HostedSettings("http://127.0.0.1:9") if model.startswith("hosted") else None
    with pytest.raises(ConfigError, match=f"^{model}: {name} = {said}: write 1 or more$"):
        open_model(ModelSettings(model, hosted=hosted, **{name: said}))


@pytest.mark.parametrize("kind", ["clip", "vqa", "detect", "teacup-judge"])
def test_a_checker_that_shall_look_at_no_picture_at_a_time_is_refused(kind):
    with pytest.raises(ConfigError, match=f"^{kind}: batch_size = -1: write 1 or more$"):
        open_checker(CheckerSettings(kind, "x", batch_size=-1))
