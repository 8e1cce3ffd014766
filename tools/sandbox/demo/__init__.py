"""The demo: the whole system with a simulated clinic network, running until Ctrl-C."""
