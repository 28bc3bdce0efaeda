"""What Ctrl-C and a supervisor's SIGTERM do to this process."""

import signal

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def interrupt_on_stop_signals() -> None:
    """Make SIGINT and SIGTERM a `KeyboardInterrupt`, also where a shell set SIGINT to ignored."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)


def ignore_stop_signals() -> None:
    """Let nothing interrupt what must be finished."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
