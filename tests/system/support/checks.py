"""One line for each thing that must hold."""

import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

SHOWN = 5  # examples of what is wrong; the rest is in the data and the logs

Print = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and whether it did."""

    what: str
    holds: bool
    numbers: str


class Checks:
    """What held and what did not."""

    def __init__(self, say: Print) -> None:
        self._say = say
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.all: list[Check] = []

    @property
    def passed(self) -> int:
        return sum(check.holds for check in self.all)

    @property
    def failed(self) -> int:
        return len(self.all) - self.passed

    def none(self, what: str, problems: Collection[Any], numbers: str = "") -> None:
        """It holds when nothing is `wrong`."""
        self.holds(what, not problems, numbers)
        for example in list(problems)[:SHOWN]:
            self._say(f"         {example}")
        if len(problems) > SHOWN:
            self._say(f"         and {len(problems) - SHOWN} more")

    def holds(self, what: str, condition: bool, numbers: str = "") -> None:
        """It holds when it is `so`."""
        self.all.append(Check(what, condition, numbers))
        verdict = self._coloured("ok    ", 32) if condition else self._coloured("FAILED", 31)
        self._say(f"{verdict} {what}{f' ({numbers})' if numbers else ''}")

    def _coloured(self, word: str, colour: int) -> str:
        return f"\x1b[{colour}m{word}\x1b[0m" if self._colour else word
