"""Being told to stop, in whichever way: everything that was started is ended."""

import signal


def interrupt_on_sigterm() -> None:
    """Take SIGTERM, and the terminal's going away, as Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell without job control has it ignored
    for stop_signal in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop_signal, lambda *_: signal.raise_signal(signal.SIGINT))
