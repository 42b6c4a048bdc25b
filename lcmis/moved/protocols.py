"""Lives in `lcmis.plugins.protocols` now; this name goes with the next release."""

from lcmis.plugins.protocols import *  # noqa: F403
