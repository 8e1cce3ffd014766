"""One line for each thing that must hold."""

import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

MAX_EXAMPLES = 5  # examples of what is wrong; the rest is in the data and the logs

Report = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and whether it did."""

    name: str
    is_passed: bool
    details: str


class Checks:
    """What held and what did not."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._uses_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.results: list[Check] = []

    @property
    def passed(self) -> int:
        return sum(check.is_passed for check in self.results)

    @property
    def failed(self) -> int:
        return len(self.results) - self.passed

    def expect_none(self, name: str, problems: Collection[Any], details: str = "") -> None:
        """It holds when nothing is `wrong`."""
        self.expect(name, not problems, details)
        for example in list(problems)[:MAX_EXAMPLES]:
            self._report(f"         {example}")
        if len(problems) > MAX_EXAMPLES:
            self._report(f"         and {len(problems) - MAX_EXAMPLES} more")

    def expect(self, name: str, condition: bool, details: str = "") -> None:
        """It holds when it is `so`."""
        self.results.append(Check(name, condition, details))
        verdict = self._colourize("ok    ", 32) if condition else self._colourize("FAILED", 31)
        self._report(f"{verdict} {name}{f' ({details})' if details else ''}")

    def _colourize(self, word: str, colour: int) -> str:
        return f"\x1b[{colour}m{word}\x1b[0m" if self._uses_colour else word
