"""The Repairs page and the repairs of a pair: choosing, copying, proof, and taking away."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from worlds import repair_store, small_store
from worlds.pages import opened, said
from worlds.repair_store import PASSED, SHOUT
from worlds.small_store import BROAD, COKE, JUDGE, ROSES, SECOND

from lcmis import findings
from lcmis.export.formats import A1111
from lcmis.export.repaired import repaired_prompt
from lcmis.findings import words
from lcmis.store import Store

import proofs  # isort: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repair_store.fill(tmp_path_factory.mktemp("repaired"))


def table(app: AppTest) -> list[dict[str, object]]:
    return app.dataframe[0].value.to_dict("records")


# ── the list ─────────────────────────────────────────────────────────────────────────────────────


def test_every_certified_repair_is_listed_what_helps_most_first(folder: Path) -> None:
    rows = table(opened(folder, "repairs"))
    assert [(row["prompt"], row["method"], row["repaired"]) for row in rows] == [
        (COKE.prompt, "moce", False),
        (ROSES.prompt, "rewrite", False),
    ]
    with Store(folder, read_only=True) as store:
        for row, found in zip(rows, findings.find_repairs(store, JUDGE), strict=True):
            proof = found.certificate
            assert row["before"] == 100 * proof.before.value
            assert row["after"] == 100 * proof.after.value
            assert (row["wins"], row["losses"]) == (proof.wins, proof.losses)
            assert row["p"] == proof.anytime_p
            assert row["expected"] == 100 * found.standing.expected.after


@pytest.mark.parametrize(
    ("query", "prompts"),
    [
        ({"words": "small CUP"}, [COKE.prompt]),
        ({"methods": "rewrite"}, [ROSES.prompt]),
        ({"models": BROAD}, [COKE.prompt, ROSES.prompt]),
        ({"outcome": "not repaired"}, [COKE.prompt, ROSES.prompt]),
    ],
)
def test_the_address_filters(folder: Path, query: dict[str, str], prompts: list[str]) -> None:
    app = opened(folder, "repairs", **query)
    assert [row["prompt"] for row in table(app)] == prompts


def test_filters_that_nothing_passes_say_so(folder: Path) -> None:
    assert "No repair passes these filters" in said(opened(folder, "repairs", outcome="repaired"))


def test_a_repair_is_told_in_words_with_its_prompts_to_copy(folder: Path) -> None:
    app = opened(folder, "repairs")
    with Store(folder, read_only=True) as store:
        proof = findings.find_repairs(store, JUDGE)[0].certificate
    told = words.certificate(proof, {JUDGE: "vqa:judge"})
    assert " ".join(told.split()) in said(app)
    blocks = [block.value for block in app.code]
    assert "a small cup" in blocks
    assert SHOUT in blocks
    assert "vase" in blocks, "the negative prompt"


def test_foreign_text_is_escaped_wherever_markdown_is_read(folder: Path) -> None:
    for app in (opened(folder, "repairs"), opened(folder, "pair", pair=COKE.key, tab="Repairs")):
        for element in (*app.markdown, *app.caption, *app.title):
            assert "<img" not in element.value.replace("\\<img", "")
            assert "**tea cup** <img" not in element.value


def test_what_is_proved_leaves_by_default_and_the_rest_when_it_is_wanted(folder: Path) -> None:
    app = opened(folder, "repairs")
    assert "No repair here is proved" in said(app)
    assert not app.get("download_button")
    app.toggle(key="every").set_value(True).run()
    assert "All: 2 repairs" in said(app)
    assert "Those that are not proved are marked so" in said(app)
    assert len(app.get("download_button")) == 6
    with Store(folder, read_only=True) as store:
        notes = [
            note
            for one in findings.find_repairs(store, JUDGE)
            for note in A1111.notes(repaired_prompt(one))
        ]
    for note in notes:
        assert " ".join(note.split()) in said(app)


def test_a_repair_is_seen_before_and_after_where_it_is_listed(folder: Path) -> None:
    app = opened(folder, "repairs")
    shown = [one.proto.body for one in app.get("html") if "lcmis-divider" in one.proto.body]
    assert len(shown) == 4 + 3, "of the second, one seed has a refusal"
    assert all(body.count("<img") == 2 for body in shown)
    assert "before: a tea cup of iced coke, seed" in shown[0]
    assert "won" in said(app)


# ── states ───────────────────────────────────────────────────────────────────────────────────────


def test_a_store_without_repairs_says_how_to_get_them(tmp_path: Path) -> None:
    small_store.fill(tmp_path)
    assert "Run `lcmis repair`" in said(opened(tmp_path, "repairs"))
    assert "Run `lcmis repair`" in said(opened(tmp_path, "pair", pair=COKE.key, tab="Repairs"))


def test_the_checker_that_guided_proves_nothing(folder: Path) -> None:
    app = opened(folder, "repairs")
    app.session_state["checker"] = SECOND
    app.run()
    assert "Found: 3 repairs, but none with pictures on fresh seeds" in said(app)


def test_pictures_that_nobody_checked_have_no_repairs(tmp_path: Path) -> None:
    small_store.fill(tmp_path, scored=False, runs=False)
    assert "No checker has looked" in said(opened(tmp_path, "repairs"))


# ── one pair ─────────────────────────────────────────────────────────────────────────────────────


def test_a_pair_shows_proof_portability_and_trials(folder: Path) -> None:
    app = opened(folder, "pair", pair=COKE.key, tab="Repairs")
    told = said(app)
    assert "Elsewhere – narrow: nothing to mend: right without it" in told
    assert "Of 2 repairs, 1 without a certificate by this checker" in told
    assert "What was tried" in told
    trials = app.dataframe[0].value.to_dict("records")
    assert [(one["search"], one["pictures"], one["words"]) for one in trials] == [
        ("moce on broad", 3, "0 of 3"),
        ("moce on broad", 6, "2 of 2"),
        ("bigpe on broad", 3, "0 of 3"),
        ("bigpe on broad", 6, "2 of 2"),
    ]
    assert [one["nominated"] for one in trials] == [False, True, False, True]


def test_pictures_spent_count_each_picture_once() -> None:
    from lcmis.types import Candidate, Seen, Stage, Trial

    one = Candidate((Stage("one"),))
    tried = [
        Trial("k", BROAD, "moce", "g", one, tuple(Seen(s, 0.9, 0.9) for s in seeds))
        for seeds in ((1, 2), (1, 2, 3))
    ]
    assert list(proofs.spent(tried, [], 0.5)["pictures"]) == [2, 3]


def test_what_a_search_never_saw_is_no_row() -> None:
    assert proofs.spent([], [PASSED], 0.5).empty


def test_a_damaged_picture_is_a_sentence(tmp_path: Path) -> None:
    repair_store.fill(tmp_path)
    for path in (tmp_path / "pictures").rglob("*.webp"):
        path.write_bytes(path.read_bytes()[:30])
    assert "file of this picture is damaged" in said(opened(tmp_path, "pair", pair=COKE.key))
    spec = small_store.make_spec(COKE, BROAD, 0)
    assert "is damaged" in said(opened(tmp_path, "picture", picture=spec.key))
