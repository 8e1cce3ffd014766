"""The checks of a system test: each is reported in one line, with examples of what is wrong."""

import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

MAX_EXAMPLES = 5  # problems shown per check; the rest is in the data and the logs

Report = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    is_passed: bool
    details: str


class Checks:
    """Collects and reports the results of checks."""

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
        """The check passes if there are no problems."""
        self.expect(name, not problems, details)
        for example in list(problems)[:MAX_EXAMPLES]:
            self._report(f"         {example}")
        if len(problems) > MAX_EXAMPLES:
            self._report(f"         and {len(problems) - MAX_EXAMPLES} more")

    def expect(self, name: str, condition: bool, details: str = "") -> None:
        """The check passes if the condition is true."""
        self.results.append(Check(name, condition, details))
        verdict = self._colourize("ok    ", 32) if condition else self._colourize("FAILED", 31)
        self._report(f"{verdict} {name}{f' ({details})' if details else ''}")

    def _colourize(self, word: str, colour: int) -> str:
        return f"\x1b[{colour}m{word}\x1b[0m" if self._uses_colour else word
