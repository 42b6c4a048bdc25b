"""Lives in `lcmis.plugins.protocols` and `.settings` now; goes with the next release."""

from lcmis.plugins.protocols import *  # noqa: F403
from lcmis.plugins.settings import *  # noqa: F403
