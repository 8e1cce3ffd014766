"""Signal handling: SIGTERM and SIGHUP stop a program like Ctrl-C, so that it stops everything it started."""

import signal


def interrupt_on_sigterm() -> None:
    """Handle SIGTERM and SIGHUP like Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell without job control starts us ignoring it
    for stop_signal in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop_signal, lambda *_: signal.raise_signal(signal.SIGINT))
