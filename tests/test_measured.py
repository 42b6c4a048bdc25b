"""What docs/measured.md says of the bench suite is what the suite printed."""

import json
import sys
from pathlib import Path

BENCH = Path(__file__).parent / "bench"


def test_the_page_says_what_the_suite_printed_with_its_command_day_and_machine(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import suite

    kept = json.loads(suite.KEPT.read_text("utf-8"))
    page = suite.PAGE.read_text("utf-8")
    assert suite.on_page(page, kept) == page
    assert kept.keys() <= suite.BENCHES.keys()
    assert page.count(suite.BEGIN) == page.count(suite.END) == 1
    for name, one in kept.items():
        assert f"### {name}\n" in page
        assert one["machine"] in page
        assert all(line.rstrip() in page for line in one["said"])
    sys.modules.pop("suite")


def test_every_script_of_the_suite_is_there_and_none_is_run_without_its_speeds():
    sys.path.insert(0, str(BENCH))
    try:
        import suite
    finally:
        sys.path.remove(str(BENCH))
    assert all((BENCH / script).is_file() for script, *_ in suite.BENCHES.values())
    assert {name[:2] for name in suite.BENCHES} == {"B1", "B2", "B4", "B5", "B6", "B7", "B8", "B9"}
    assert any(name.startswith("B10") for name in suite.BENCHES)
    sys.modules.pop("suite")
