"""Lives in `lcmis.audit.config` and `lcmis.plugins.settings` now; goes with the next release."""

from lcmis.audit.config import *  # noqa: F403
from lcmis.plugins.settings import AuditSettings as AuditConfig  # noqa: F401
from lcmis.plugins.settings import StoppingSettings as StoppingSettings
