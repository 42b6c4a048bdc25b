"""The command line as somebody meets it: what a thing costs, how far it is, and what words mean."""

import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import typer
import typer.core
from worlds import small_store, toys

from lcmis.audit.proposals import Propose, ProposeSettings
from lcmis.audit.run import Audit, Cost
from lcmis.cli import GROUPS, app
from lcmis.cli.examples import EXAMPLES
from lcmis.cli.terminal.costs import to_draw
from lcmis.cli.terminal.piped import Pace, spoken
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings, TextModelSettings
from lcmis.propose.catalogue import to_toml
from lcmis.store import Store

ROOT = Path(__file__).parent.parent


@pytest.fixture
def small(tmp_path):
    return small_store.fill(tmp_path / "audit")


def every_command():
    found = {}
    for name, command in typer.main.get_command(app).commands.items():
        for inner, one in getattr(command, "commands", {"": command}).items():
            found[f"{name} {inner}".strip()] = one
    return found


# ── help ──────────────────────────────────────────────────────────────────────────────────────────


def test_every_command_has_examples_that_it_can_read():
    commands = every_command()
    assert set(EXAMPLES) == set(commands)
    for name, lines in EXAMPLES.items():
        for line in lines:
            first, *words = shlex.split(line)
            assert first == "lcmis"
            assert " ".join(words).startswith(name)
            commands[name].make_context(f"lcmis {name}", words[len(name.split()) :])
            assert len(line) <= 76, "wider than a terminal's help"


def test_the_examples_of_a_command_are_in_its_help_and_in_it_once(lcmis):
    for name in ("audit", "propose", "db check"):
        for _ in range(2):  # the same command object is asked again
            code, out, _ = lcmis(*name.split(), "--help")
            assert code == 0
            assert out.count("Examples:") == 1
            assert all(line in out for line in EXAMPLES[name])


def test_paragraphs_of_help_break_where_the_terminal_does_and_not_where_our_source_does():
    asked = [sys.executable, "-m", "lcmis", "propose", "--help"]
    shown = subprocess.run(
        asked, cwd=ROOT, capture_output=True, text=True, check=True, env={"COLUMNS": "80"}
    ).stdout
    assert max(map(len, shown.splitlines())) <= 80
    told = shown.partition("Round after round")[2].partition("Examples:")[0].splitlines()
    assert all(len(line.rstrip()) > 60 for line in told[:-3])


def test_commands_stand_in_groups_in_the_order_of_use(lcmis):
    _, out, _ = lcmis("--help")
    places = [out.index(group) for group in GROUPS]
    assert places == sorted(places)
    listed = re.findall(r"^│ ([a-z]+)  ", out, re.M)
    assert listed[:4] == ["init", "plan", "audit", "show"]
    assert listed[-1] == "db"
    assert set(listed) == {name.split()[0] for name in every_command()}


# ── what a thing costs ────────────────────────────────────────────────────────────────────────────

COSTS = """
import typer
from lcmis.cli.terminal.costs import tell_cost
def run(yes: bool = False):
    tell_cost("About 12 pictures to draw.", yes=yes)
    print("begun")
typer.run(run)
"""


@pytest.mark.parametrize(
    ("flags", "answer", "begins"),
    [([], "y", True), ([], "", True), ([], "n", False), (["--yes"], None, True)],
    ids=["yes", "enter", "no", "--yes"],
)
def test_at_a_terminal_a_command_says_what_it_draws_and_asks(flags, answer, begins):
    pexpect = pytest.importorskip("pexpect", reason="pexpect is not installed")
    child = pexpect.spawn(
        sys.executable, ["-c", COSTS, *flags], cwd=str(ROOT), encoding="utf-8", timeout=300
    )
    child.expect("About 12 pictures to draw.")
    if answer is not None:
        child.expect("Go on")
        child.sendline(answer)
    child.expect(pexpect.EOF)
    assert ("begun" in child.before) is begins
    assert ("Nothing was drawn." in child.before) is not begins
    child.close()
    assert child.exitstatus == (0 if begins else 1)


def test_where_nobody_can_be_asked_it_says_so_and_does_what_it_was_told():
    ran = subprocess.run(
        [sys.executable, "-c", COSTS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "begun\n"
    assert ran.stderr == "About 12 pictures to draw.\n"


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "pairs.toml"
    file.write_text(to_toml([toys.pair("rubine", "azure"), toys.pair("lime", "amber")]), "utf-8")
    return AuditSettings(
        models=(ModelSettings("toy"),),
        checkers=(CheckerSettings("toy"), CheckerSettings("toy", "guide")),
        pairs=(str(file),),
        store=str(tmp_path / "audit"),
    )


def test_the_cost_of_an_audit_is_what_its_plan_says(config, toys):
    with Store(config.store, create=True) as store:
        audit = Audit(config, store)
        (plan,) = audit.plan()
        assert audit.cost() == Cost(2, 1, plan.expected, plan.most, None)
        assert "to draw for 2 pairs" in to_draw(audit.cost())
        audit.run()
        assert audit.cost().most == 0
        assert to_draw(audit.cost()) == "Every pair is decided already: nothing to draw."


def test_proposing_without_a_word_does_not_audit_the_catalogue(config, toys, tmp_path):
    told = TextModelSettings("phrasebook")
    settings = ProposeSettings(told, into=tmp_path / "new.toml", audits_first=False)
    with Store(config.store, create=True) as store:
        silent = Propose(config, store, settings)
        assert silent.first_pairs == []
        assert silent.cost().most == 0
        assert len(Propose(config, store, ProposeSettings(told)).first_pairs) == 2
        only = toys_pair = silent.seeds[0]
        store.add_pairs([only])
        assert Propose(config, store, settings).seeds == (toys_pair,)


def test_proposing_without_a_word_where_nobody_can_be_asked_needs_yes(lcmis, tmp_path):
    store = tmp_path / "audit"
    code, _, err = lcmis("propose", "--into", tmp_path / "new.toml", "--store", store)
    assert code == 2
    assert "3 rounds of about 24 pairs: about" in err
    assert "say --yes, or name the pairs to begin with" in err
    with Store(store, read_only=True) as facts:
        assert facts.counts().renders == 0


# ── how far it is ─────────────────────────────────────────────────────────────────────────────────


def test_lines_are_said_at_first_now_and_then_and_at_the_end(capsys):
    heard, pauses = threading.Event(), iter([False, False])

    def wait(ended):
        heard.wait()
        over = next(pauses, True)
        return over or ended.wait(0)

    with spoken(wait) as said:
        said.move("toy", "0 pictures", "drawing", " of about 8")
        said.move("toy", "4 pictures", "checking", " of about 8")
        said.tick()
        said.move("other", "0 pictures", "drawing")
        heard.set()
    lines = capsys.readouterr().err.splitlines()
    assert lines[:4] == [
        "toy: 0 pictures of about 8; drawing",
        "toy: 4 pictures of about 8; checking",
        "toy: 4 pictures of about 8; checking",
        "other: 0 pictures; drawing",
    ]
    assert lines[-2:] == ["toy: 4 pictures; done", "other: 0 pictures; done"]


def test_who_goes_on_after_another_began_is_not_called_done_before_the_end(capsys):
    with spoken(lambda ended: ended.wait()) as said:
        said.move("toy", "4 pictures", "drawing")
        said.move("other", "0 pictures", "drawing")
        said.move("toy", "6 pictures", "drawing")
        said.move("other", "1 picture", "drawing")
        said.tick()
        said.tick()
    assert capsys.readouterr().err.splitlines() == [
        "toy: 4 pictures; drawing",
        "toy: 4 pictures; drawing",
        "other: 0 pictures; drawing",
        "toy: 6 pictures; drawing",
        "other: 1 picture; drawing",
        "other: 1 picture; drawing",
        "toy: 6 pictures; done",
        "other: 1 picture; done",
    ]


def test_lines_say_how_fast_it_goes_and_how_long_it_takes():
    clock = iter([0.0, 4.9, 10.0, 10.0])
    pace = Pace(lambda: next(clock))
    assert pace.told("toy", 10, 100) == ""
    assert pace.told("toy", 30, 100) == ""  # too early to tell
    assert pace.told("toy", 60, 100) == "; 5.0 pictures/s, 8 s left"
    assert pace.told("toy", 110, 100) == "; 10.0 pictures/s, 0 s left"


def test_before_anything_is_known_a_line_says_that_it_is_at_work(capsys):
    with spoken(lambda ended: ended.wait()) as said:
        said.tick()
    assert capsys.readouterr().err == "getting ready\n"


def test_every_long_command_says_how_far_it_is_where_it_is_piped(lcmis, toys, tmp_path):
    from worlds.toys import pair

    (tmp_path / "pairs.toml").write_text(to_toml([pair("rubine", "azure")]), "utf-8")
    named = ["-m", "toy", "--scheduler", "deaf", "-c", "toy", "-c", "toy:guide"]
    named += ["-p", tmp_path / "pairs.toml", "--store", tmp_path / "audit"]
    for words in (
        ["audit", *named],
        ["repair", *named, "--budget", "24", "--certificate", "8", "--method", "rewrite"],
        ["certify", *named[4:8], "--store", tmp_path / "audit", "--certificate", "8"],
    ):
        code, _, err = lcmis(*words)
        assert code == 0, err
        lines = err.splitlines()
        assert "picture" in lines[0], "what it costs comes first"
        assert any(line.startswith("toy: ") for line in lines[1:]), words
        assert lines[-1].startswith("toy: ")
        assert lines[-1].endswith("; done")
        code, _, err = lcmis(*words, "--json")
        assert (code, err) == (0, "")


# ── what words mean ───────────────────────────────────────────────────────────────────────────────


def test_what_broke_is_an_error_and_what_is_painted_wrong_fails(small, lcmis):
    code, out, _ = lcmis("show", "errors", "--store", small)
    assert code == 0
    assert "render" in out
    code, failing, _ = lcmis("show", "failing", "--store", small)
    assert code == 0
    assert "fails" in failing
    assert "passes" not in failing
    _, every, _ = lcmis("show", "--store", small)
    assert failing.count(" fails") == every.count(" fails")


def test_the_old_word_for_errors_works_and_says_the_new_one(small, lcmis):
    _, now, _ = lcmis("show", "errors", "--store", small)
    _, then, _ = lcmis("show", "failures", "--store", small)
    assert then == f"`show failures` is `show errors` now; a pair that fails is a verdict.\n{now}"
    assert lcmis("show", "failures", "--store", small, "--json")[1].startswith("{")


@pytest.mark.parametrize("words", [["tea", "cup"], ["cups"], ["tea cups"], ["cokes"]], ids=" ".join)
def test_a_pair_is_found_by_its_words_in_one_or_many(small, lcmis, words):
    code, out, _ = lcmis("show", *words, "--store", small)
    assert code == 0
    assert out.startswith("a tea cup of iced coke")


def test_the_dashboard_refuses_a_store_that_does_not_exist_as_show_does(tmp_path, lcmis):
    shown = lcmis("show", "--store", tmp_path / "nowhere")
    code, out, err = lcmis("dashboard", "--store", tmp_path / "nowhere")
    assert (code, out, err) == shown
    assert code == 2
