"""Audits one after another, in one process: once warm, no object of any kind stays of them."""

import gc
import re
from collections import Counter

import pytest
from sqlalchemy.event import registry
from worlds.toys import audited, pair

from lcmis.audit.run import Audit
from lcmis.machine.files import replacing
from lcmis.store import Store

OURS = ("lcmis", "worlds", "sqlalchemy", "alembic", "sqlite3", "threading", "concurrent", "pathlib")
PAIRS = (pair("rubine", "azure"), pair("lime", "amber"))


def living():
    """Objects by kind, of ours and of the libraries that a store is opened with."""
    gc.collect()
    kinds = map(type, gc.get_objects())
    return Counter(
        kind
        for kind in kinds
        if kind is re.Pattern or str(type.__getattribute__(kind, "__module__")).startswith(OURS)
    )


@pytest.mark.usefixtures("toys")
def test_an_audit_into_a_store_of_its_own_leaves_nothing_once_the_first_are_over(tmp_path):
    def audits(*numbers):
        for number in numbers:
            folder = tmp_path / str(number)
            folder.mkdir()
            config = audited(folder, PAIRS, "no a")
            with Store(config.store, create=True) as store:
                Audit(config, store).run("a test")
        return living(), len(registry._key_to_collection), len(registry._collection_to_key)

    re.purge()
    before = audits(*range(6))
    after = audits(*range(6, 12))
    assert after[0] - before[0] == Counter()
    assert after[1:] == before[1:]


def test_files_of_many_names_leave_no_pattern_behind(tmp_path):
    def write(name):
        with replacing(tmp_path / name) as draft:
            draft.write_text(name)

    re.purge()
    write("first")
    before = living()[re.Pattern]
    for number in range(20):
        write(f"file-{number}")
    assert living()[re.Pattern] == before
