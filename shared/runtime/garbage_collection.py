"""How often Python collects reference cycles."""

import gc


def tune_garbage_collector() -> None:
    """Collect less often, and never what exists already.

    A service keeps millions of small, long-lived objects (its modules, then states) and frees nearly all others by
    reference counting. With Python's default thresholds, the collector walks through much of them in every batch.
    """
    gc.collect()
    gc.freeze()
    # The last is Python's default: a service that runs for months must also free objects that died old.
    gc.set_threshold(50_000, 20, 10)
