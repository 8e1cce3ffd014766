"""The floor: answers that are low in any relationship, in the client's own numbers.

It knows no baseline, no probability and no policy, and no decision of a clinician changes it. Each level is a sign when
the client first reaches it, and again once two answers in a row were above the floor.
"""

from collections.abc import Iterator, Mapping

from services.alliance.domain.state.alliance import Floor
from shared.events import Element

WHOLE = "whole"
WHOLE_LEVELS = (40.0, 30.0, 20.0, 10.0)  # of 100, the answer as a whole
ELEMENT_LEVELS = (2.0, 1.0, 0.0)  # of 10, one element
ABOVE_EVERY_LEVEL = 100.0
ANSWERS_TO_LEAVE = 2  # answers in a row above the floor, after which its levels are signs again


def reached_levels(rating: float, ratings: Mapping[Element, float]) -> Iterator[tuple[str, float]]:
    """The whole and the elements that are at or below the floor, each with the lowest level that it reaches."""
    if not is_at_floor(rating, ratings):  # as nearly always
        return
    if (level := _level(rating, WHOLE_LEVELS)) is not None:
        yield WHOLE, level
    for element in sorted(ratings):
        if (level := _level(ratings[element], ELEMENT_LEVELS)) is not None:
            yield element, level


def is_at_floor(rating: float, ratings: Mapping[Element, float]) -> bool:
    """Whether the answer as a whole, or one of its elements, is at or below the floor."""
    return rating <= WHOLE_LEVELS[0] or min(ratings.values(), default=rating) <= ELEMENT_LEVELS[0]


def update_floor(floor: Floor, rating: float, ratings: Mapping[Element, float]) -> Floor:
    """The floor after one more answer of the client."""
    reached = dict(reached_levels(rating, ratings))
    if not reached:
        if not floor.lowest:
            return floor
        above = floor.answers_above + 1
        return Floor() if above >= ANSWERS_TO_LEAVE else Floor(floor.lowest, above)
    lowest = {**floor.lowest, **{name: min(level, floor.lowest.get(name, level)) for name, level in reached.items()}}
    return Floor(lowest, 0)


def forget_levels(floor: Floor) -> Floor:
    """The floor as if no alert had stated a level: each is a sign again, and the client is still at the floor."""
    return Floor(dict.fromkeys(floor.lowest, ABOVE_EVERY_LEVEL), floor.answers_above)


def new_levels(floor: Floor, rating: float, ratings: Mapping[Element, float]) -> list[tuple[str, float]]:
    """What is lower than it has been since the client was last above the floor."""
    return [
        (name, level)
        for name, level in reached_levels(rating, ratings)
        if name not in floor.lowest or level < floor.lowest[name]
    ]


def _level(value: float, levels: tuple[float, ...]) -> float | None:
    return next((level for level in reversed(levels) if value <= level), None)
