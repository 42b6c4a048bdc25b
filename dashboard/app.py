"""What `streamlit run` starts: the pages, the pictures' address, and headers that keep all at home.

The environment variable LCMIS_STORE names the store, a folder or a database URL; LCMIS_PICTURES
the folder of its pictures, where they do not lie beside the facts; LCMIS_BESIDE, one a line,
folders of other audits to compare with; LCMIS_LABELS=off turns labelling off; LCMIS_HOSTS, one a
line, names under which the server may be asked beside those of the loopback address.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import facts
import front
import guard
import lightbox
import pages
import pictures
import said
import streamlit as st
from starlette.middleware import Middleware

STORE = os.environ.get("LCMIS_STORE", "")
PICTURES = os.environ.get("LCMIS_PICTURES", "")
BESIDE: list[Any] = [line for line in os.environ.get("LCMIS_BESIDE", "").splitlines() if line]
HOSTS = os.environ.get("LCMIS_HOSTS", "").splitlines()
LABELS = os.environ.get("LCMIS_LABELS", "") != "off"

AHEAD = "lcmis reads ahead"
OF_VISITS = "streamlit.runtime.scriptrunner_utils.script_run_context"
"""Says of what runs outside of any visit that it does, which is what reading ahead is for."""


@asynccontextmanager
async def reading_ahead(_app: st.App) -> AsyncIterator[None]:
    """Begin to read the store, and load what draws, while the browser is still opening."""
    logging.getLogger(OF_VISITS).addFilter(lambda record: record.threadName != AHEAD)
    threading.Thread(target=_read_ahead, name=AHEAD, daemon=True).start()
    yield


def _read_ahead() -> None:
    import looks  # noqa: F401 (Altair takes as long as reading fifty thousand pictures)

    facts.read_ahead(STORE, PICTURES)


def say_sorry(error: Exception) -> bool:
    """Name a mistake of ours in one sentence; the traceback goes to the terminal."""
    logging.getLogger("lcmis.dashboard").error("the page failed", exc_info=error)
    st.error(
        "lcmis made a mistake on this page. The terminal in which the dashboard was started has "
        "the details; please report them.",
        icon=":material/error:",
    )
    return True


app = st.App(
    Path(__file__).with_name("navigation.py"),
    secrets={"store": STORE, "pictures": PICTURES, "beside": BESIDE, "labels": LABELS},
    routes=[
        *front.routes(pages.ADDRESSES),
        *pictures.routes(STORE, PICTURES, BESIDE),
        *lightbox.routes(),
        *said.routes(STORE, PICTURES, BESIDE, may_write=LABELS),
    ],
    middleware=[Middleware(guard.KeptAtHome, HOSTS)],
    lifespan=reading_ahead,
    on_script_error=say_sorry,
)
