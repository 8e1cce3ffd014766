"""Chaos: the whole system under load while its parts are killed, stopped, cut off and lied to, and then judged."""
