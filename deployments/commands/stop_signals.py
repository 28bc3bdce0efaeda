"""What Ctrl-C and a supervisor's SIGTERM do to this process."""

import os
import signal
import sys
from typing import NoReturn

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def interrupt_on_stop_signals() -> None:
    """Make SIGINT and SIGTERM a `KeyboardInterrupt`, also where a shell set SIGINT to ignored."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)


def ignore_stop_signals() -> None:
    """Let nothing interrupt what must be finished."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def leave_at_once(message: str) -> NoReturn:
    """End this process as an interrupted one, without what else would run at its exit."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    os._exit(130)
