"""The agent starts itself again, in the same process: nobody has to watch over it for that."""

import logging
import os
import sys
from typing import NoReturn

log = logging.getLogger("edgewise.agent.run")


def leave_at_once() -> NoReturn:
    """End without waiting for threads that are inside a runtime. Close everything else before."""
    log.info("leaving threads behind that do not come back")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def restart_self() -> NoReturn:
    """Run the same command line anew. Call it when everything is closed; files opened by Python close by themselves."""
    log.info("starting again")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
