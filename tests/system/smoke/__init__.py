"""The smoke test: the whole system, started, used, misused and stopped, and then judged from outside."""
