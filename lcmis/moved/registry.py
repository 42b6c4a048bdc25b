"""Lives in `lcmis.plugins.registry` now; this name goes with the next release."""

from lcmis.plugins.registry import *  # noqa: F403
