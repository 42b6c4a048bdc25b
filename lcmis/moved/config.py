"""Lives in `lcmis.audit.config` now; this name goes with the next release."""

from lcmis.audit.config import *  # noqa: F403
