"""Ctrl-C waits for what must not be left half done."""

import signal
import threading

import pytest

from lcmis.machine.interrupts import undisturbed
from lcmis.store import Store
from lcmis.types import Failure


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def interrupted(times, done):
    with undisturbed():
        for _ in range(times):
            ctrl_c()
        done.append("block")


def test_a_first_interrupt_is_heard_when_the_block_is_done():
    done = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(1, done)
    assert done
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_a_second_interrupt_is_heard_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(2, done)
    assert not done


def test_blocks_inside_one_another_end_with_the_outermost():
    done = []

    def outer():
        with undisturbed():
            interrupted(1, done)
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        outer()
    assert done == ["block", "outer"]


def test_what_fails_inside_fails_as_it_did_and_the_old_handler_is_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="mine"), undisturbed():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_and_a_program_that_ignores_ctrl_c_are_left_alone():
    seen = []

    def inside():
        with undisturbed():
            seen.append(1)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        inside()
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [1, 1]


def test_a_write_that_is_interrupted_is_done_and_leaves_the_store_open(tmp_path):
    with Store(tmp_path / "audit", create=True) as store:
        with pytest.raises(KeyboardInterrupt), store._writing():
            ctrl_c()
        store.add_failure(Failure("k1:x", "render", "why", "2026-11-27T00:00:00+00:00"))
        assert len(store.failures()) == 1
