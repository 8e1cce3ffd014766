"""How often Python looks for garbage that holds on to itself."""

import gc


def tune_garbage_collector() -> None:
    """Look less often, and never at what is there already.

    A service keeps millions of small objects that live long (states, and before them its modules) and frees nearly
    all others by counting references. At Python's own thresholds every batch has it walk through much of what it keeps.
    """
    gc.collect()
    gc.freeze()
    # The last is Python's own: a service that runs for months must find what died old as well.
    gc.set_threshold(50_000, 20, 10)
