"""Names of parametrised tests that can be given back to pytest, as `make mutants` does."""

from __future__ import annotations


def name_of(value: object) -> str | None:
    """The name that a value has, in ASCII: pytest escapes other letters, and then finds nothing."""
    name = getattr(value, "name", None)
    return None if name is None else name.replace("±", "+-")
