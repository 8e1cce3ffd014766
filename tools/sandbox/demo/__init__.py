"""The demo: the whole system with a simulated clinic network, to look at until Ctrl-C."""
