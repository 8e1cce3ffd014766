"""How often Python looks for garbage that holds on to itself."""

import gc

YOUNG, OFTEN_YOUNG, OFTEN_MIDDLE = 50_000, 20, 1_000


def collect_rarely() -> None:
    """Look less often, and never at what is there already.

    A service keeps millions of small objects that live long (states, and before them its modules) and frees nearly
    all others by counting references. At Python's own thresholds every batch has it walk through all that it keeps.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OFTEN_YOUNG, OFTEN_MIDDLE)
