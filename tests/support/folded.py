"""What a service said, for tests of what is made of it."""

from typing import Any

import numpy as np

from evaluation.attune import NOT_OPEN, Folded


def folded(**said: Any) -> Folded:
    """Where nothing is given, nothing was said."""
    shape = next(iter(said.values())).shape
    nothing = np.zeros(shape, int)
    silent = {
        "score": np.full(shape, np.nan),
        "probability": np.full(shape, 0.05),
        "reached": nothing,
        "severity": nothing,
        "open_since": np.full(shape, NOT_OPEN),
        "ended": nothing,
        "is_exempt": nothing > 0,
    }
    return Folded(**silent | said)
