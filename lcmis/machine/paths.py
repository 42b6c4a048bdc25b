"""Where the shipped folders lie: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path


def shipped(name: str) -> Path:
    """The folder ``data``, ``migrations`` or ``dashboard`` that came with this installation.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / f"_{name}", package.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"the folder {name!r} is missing from {package}: install lcmis again from its wheel"
    )
