"""The agent starts itself again, in the same process: nobody has to watch over it for that."""

import logging
import os
import sys
from typing import NoReturn

log = logging.getLogger("edgewise.agent.run")


def restart_self() -> NoReturn:
    """Run the same command line anew. Call it when everything is closed; files opened by Python close by themselves."""
    log.info("starting again")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
