"""What is there: plugs, this machine, the dashboard, the database."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lcmis.audit.config import LABELS_VARIABLE, PICTURES_VARIABLE, STORE_VARIABLE
from lcmis.cli.registered import complete
from lcmis.cli.shared import (
    JsonOption,
    PicturesOption,
    StoreOption,
    open_store,
    store_name,
    with_settings,
)
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.plugins import registry
from lcmis.plugins.settings import AuditSettings

if TYPE_CHECKING:
    from lcmis.plugins.protocols import Encoder
    from lcmis.plugins.settings import CheckerSettings
    from lcmis.store import Store

GUARDED = {
    "server.address": "127.0.0.1",
    "server.showEmailPrompt": "false",
    "server.fileWatcherType": "none",
    "server.enableCORS": "true",
    "server.allowedHosts": "*",  # the guard of dashboard/ decides
    "server.corsAllowedOrigins": "",
    "server.enableXsrfProtection": "true",
    "server.enableStaticServing": "false",
    "server.enableAgentApi": "false",
    "server.baseUrlPath": "",
    "browser.serverAddress": "localhost",
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
}
"""What the dashboard relies on, whatever the machine's own settings of Streamlit say."""


def plugins(
    kind: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(registry.KINDS)}; without it, all.",
            autocompletion=lambda incomplete: [
                kind for kind in registry.KINDS if kind.startswith(incomplete)
            ],
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List every plugin by kind and name: built in, or brought by another package."""
    from lcmis.cli import terminal
    from lcmis.cli.terminal.plugins import print_plugins

    kinds = list(registry.KINDS) if kind is None else [_kind(kind)]
    found = [entry for one in kinds for entry in registry.describe(one)]
    terminal.print_json(found) if json else print_plugins(found)


def _kind(said: str) -> str:
    kind = said.replace("-", "_").replace(" ", "_")
    if kind not in registry.KINDS:
        raise UnknownNameError(
            f"no kind of plugin is called {said!r}: there are {', '.join(registry.KINDS)}"
        )
    return kind


def checkers(json: JsonOption = False) -> None:
    """List the kinds of checkers."""
    plugins("checkers", json)


@with_settings
def doctor(config: AuditSettings, *, json: JsonOption = False) -> None:
    """Examine this machine: versions, memory, device, checkers on known pictures, equal bits."""
    from lcmis.audit.doctor import examine
    from lcmis.cli import terminal

    found = []
    for finding in examine(config, Path(config.store)):
        found.append(finding)
        if not json:
            terminal.print_health([finding])
    if json:
        terminal.print_json(found)
    raise typer.Exit(1 if any(finding.state == "fault" for finding in found) else 0)


def dashboard(
    store: StoreOption = None,
    pictures: PicturesOption = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of another audit to compare with; may be given again."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="On this machine's loopback address.")
    ] = 8501,
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Let people label pictures, or not.")
    ] = True,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser, or not.")
    ] = True,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name under which a proxy of yours hands this page on; may be given again."
        ),
    ] = None,
) -> None:
    """Look at the pictures in a browser, and label them; nothing but labels is written."""
    from lcmis.machine.paths import shipped
    from lcmis.store.connect import place_of
    from lcmis.store.places import pictures_at

    # What is wrong with a store is told here, and not by a page that opens all the same.
    open_store(store, pictures, read_only=True).close()
    for path in beside or ():
        open_store(str(path), read_only=True).close()
    home = shipped("dashboard")
    command = [sys.executable, "-m", "streamlit", "run", str(home / "app.py")]
    shows = open_browser and _can_show()
    guarded = {**GUARDED, "server.headless": str(not shows).lower(), "server.port": str(port)}
    for name, value in guarded.items():
        command += [f"--{name}", value]
    name = store_name(store)
    place = place_of(name)
    if place.folder is not None:
        name = str(place.folder.resolve())
    elif place.file is not None:
        name = f"sqlite:///{place.file.resolve()}"
    images = pictures or ("://" in name and os.environ.get(PICTURES_VARIABLE))
    told = {
        STORE_VARIABLE: name,
        PICTURES_VARIABLE: pictures_at(images).address if images else "",
        LABELS_VARIABLE: "" if labels else "off",
        "LCMIS_BESIDE": "\n".join(str(path.resolve()) for path in beside or ()),
        "LCMIS_HOSTS": "\n".join(allow_host or ()),
    }
    print(f"lcmis dashboard: http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    os.chdir(home)  # Streamlit obeys, and Python imports, what lies in the current folder
    os.execve(sys.executable, command, {**os.environ, **told})


def embed(
    *,
    checker: Annotated[
        str | None,
        typer.Option(
            "--checker",
            "-c",
            help="A checker that embeds pictures, KIND:NAME, such as clip:ViT-B-32/openai; by "
            "default the first of the last audit that does.",
            show_default=False,
            autocompletion=complete("checkers"),
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", show_default=False)
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="auto, float32, float16 or bfloat16.", show_default=False),
    ] = None,
    store: StoreOption = None,
    pictures: PicturesOption = None,
    json: JsonOption = False,
) -> None:
    """Let an encoder look at all pictures once, for the page that shows which are alike.

    What it sees lies in a file beside the facts, and only new pictures are looked at.
    """
    from lcmis.audit.embedding import add_features
    from lcmis.cli import terminal
    from lcmis.findings.words import several

    with open_store(store, pictures, read_only=True) as facts:
        encoder = _encoder(facts, checker, device, dtype)
        with terminal.embedding(encoder.encoder_id, quiet=json) as watch:
            done = add_features(facts, encoder, watch)
    if json:
        terminal.print_json(done)
        return
    terminal.say(
        f"{several(done.added, 'picture')} looked at, {done.known:,} were known; all lies in "
        f"{done.file}"
    )
    if done.damaged:
        terminal.say(
            f"{several(done.damaged, 'picture')} could not be read: `lcmis db check` names each"
        )
    where = terminal.in_store(store_name(store))
    terminal.print_next(
        (f"lcmis dashboard{where}", "to see which are alike: Grid, then Similarity")
    )


def _encoder(facts: Store, named: str | None, device: str | None, dtype: str | None) -> Encoder:
    """Of the checker that was named, else of the last audit's first that has one.

    Raises:
        ConfigError: none has one.
    """
    from lcmis.audit.config import checker_settings
    from lcmis.findings import last_audit, settings_of
    from lcmis.plugins.opening import open_checker
    from lcmis.plugins.optional import encoder_of

    if named is not None:
        tried: tuple[CheckerSettings, ...] = (checker_settings(named),)
    else:
        audit = last_audit(facts.runs())
        tried = settings_of(audit).checkers if audit else ()
    for settings in tried:
        there = dataclasses.replace(
            settings, device=device or settings.device, dtype=dtype or settings.dtype
        )
        encoder = encoder_of(open_checker(there))
        if encoder is not None:
            return encoder
    who = f"{named} embeds no pictures" if named else "no checker of the last audit embeds pictures"
    raise ConfigError(f"{who}: name one that does with --checker, such as clip:ViT-B-32/openai")


def _can_show() -> bool:
    """Whether somebody sits before this machine: a browser is opened for nobody else."""
    remote = "SSH_CONNECTION" in os.environ
    screen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return sys.stdout.isatty() and screen and not remote


def upgrade(store: StoreOption = None) -> None:
    """Bring an older store to this version; a copy of the old database is kept beside it."""
    from lcmis.cli import terminal
    from lcmis.store.schema import upgrade_store

    terminal.say(upgrade_store(store_name(store)))


def check(store: StoreOption = None, pictures: PicturesOption = None) -> None:
    """Compare the schema, and re-hash every picture and key; exit code 1 if anything disagrees."""
    from lcmis.cli import terminal

    with open_store(store, pictures, read_only=True) as facts:
        faults = [*facts.drift(), *facts.verify()]
    terminal.print_faults(faults)
    raise typer.Exit(1 if faults else 0)
