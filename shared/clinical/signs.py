"""Which signs of an episode a clinician reads, and in which order."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from shared.events import Element, Evidence, Rater

REQUIRED_NUMBERS: dict[str, frozenset[str]] = {
    "told_directly": frozenset(),
    "at_floor": frozenset({"rating"}),
    "low_again": frozenset({"rating"}),
    "sustained_slide": frozenset({"rating"}),
    "sudden_drop": frozenset({"rating"}),
    "element_drop": frozenset({"rating"}),
    "apart": frozenset({"client", "clinician"}),
    "clinician_drop": frozenset({"rating"}),
    "withdrawal": frozenset(),
    "low_level": frozenset(),
}
"""The detectors in the order in which signs of one moment are read, and the numbers that their words need."""
KNOWN_DETECTORS = frozenset(REQUIRED_NUMBERS)
"""The detectors that have openings of their own."""

MIN_ABSENCES_IN_A_ROW = 3  # are worth watching at any probability; of fewer, the clinician knows enough
_MAX_HOURS = 100_000.0  # of what an event may say; years more than any form is open

_RANKS = {detector: rank for rank, detector in enumerate(REQUIRED_NUMBERS)}
_RUN = ("absences in a row", None)
_SUBJECTS = {"sustained_slide": "sudden_drop"}  # both compare the client's rating with the same usual range
_SAID_ONCE = frozenset({"expected", "low", "high", "usual", "level", "ratings", "missed", "cancelled_late"})
"""The numbers that describe more than one session: only the newest sign about a subject has them in its words."""


def session_key(sign: Evidence) -> UUID | datetime:
    """What signs about the same session have in common."""
    return sign.session_id or sign.occurred_at


def session_at(sign: Evidence) -> datetime:
    """When the session was, or would have been; when the sign occurred if that is not known."""
    hours = sign.numbers.get("hours_after_session", 0.0)
    return sign.occurred_at - timedelta(hours=min(max(hours, -_MAX_HOURS), _MAX_HOURS))


def absences_in_a_row(sign: Evidence) -> float:
    """How many of the latest appointments in a row were missed or called off late."""
    return sign.numbers.get("in_a_row", 0.0)


def reporter(sign: Evidence) -> Rater:
    """Who reported the tension of a sign of `told_directly`: the client, unless the sign names the clinician."""
    return "clinician" if sign.numbers.get("by_client") == 0 else "client"


def format_rating(points: float) -> str:
    """Points of 0 to 100 as a rating of 0 to 10: `5.2`, and whole numbers without a decimal."""
    return f"{points / 10:.1f}".removesuffix(".0")


def is_within_band(sign: Evidence) -> bool:
    """Whether the rating, as it is shown, is not below what is usual."""
    rating, low = sign.numbers.get("rating"), sign.numbers.get("low")
    return rating is not None and low is not None and float(format_rating(rating)) >= float(format_rating(low))


def select_signs(evidence: Iterable[Evidence]) -> list[Evidence]:
    """The signs that a clinician reads, the newest first, each with the numbers that no newer one has said.

    A rating within its own band is left out, unless nothing else is known of the newest session. So is an element at
    the floor if the answer as a whole is as low, and a drop of the whole if one element alone made it.
    """
    signs = sorted(_without_answered_lapses(list(evidence)), key=_rank)
    signs.sort(key=lambda sign: sign.occurred_at, reverse=True)
    floors = {session_key(s): s.numbers.get("rating", 0.0) for s in signs if _is_whole_at_floor(s)}
    outside = [s for s in signs if not is_within_band(s)]
    explained = {session_key(s) for s in outside if s.detector == "element_drop" and "rest" in s.numbers}
    selected = [
        s
        for s in outside
        if (_is_whole_at_floor(s) or _adds_to_floor(s, floors))
        and not (s.detector == "sudden_drop" and session_key(s) in explained)
    ]
    if signs and session_key(signs[0]) not in map(session_key, selected):
        selected.insert(0, signs[0])
    return list(_without_repetitions(selected))


def _without_answered_lapses(signs: Sequence[Evidence]) -> Iterator[Evidence]:
    """Without the forms that had lapsed and were answered after all."""
    answered = {session_key(sign) for sign in signs if _is_clients_answer(sign)}
    return (sign for sign in signs if not (sign.numbers.get("silent") and session_key(sign) in answered))


def _is_clients_answer(sign: Evidence) -> bool:
    if sign.detector == "told_directly":
        return reporter(sign) == "client"
    return sign.detector not in ("withdrawal", "clinician_drop")


def _rank(sign: Evidence) -> tuple[int, bool, float]:
    """Signs of one moment: by detector, the answer as a whole before its elements, the strongest element first."""
    return _RANKS.get(sign.detector, len(_RANKS)), sign.element is not None, -sign.strength


def _is_whole_at_floor(sign: Evidence) -> bool:
    return sign.detector == "at_floor" and sign.element is None


def _adds_to_floor(sign: Evidence, floors: Mapping[UUID | datetime, float]) -> bool:
    """False for an element at the floor in an answer that is as low as a whole."""
    floor = floors.get(session_key(sign))
    return floor is None or sign.detector != "at_floor" or sign.numbers.get("rating", floor) < floor


def _without_repetitions(signs: Iterable[Evidence]) -> Iterator[Evidence]:
    """Of absences only the newest sign, which counts them, and the newest that is worth watching by itself."""
    seen: set[tuple[str, Element | None]] = set()
    for sign in signs:
        subject = (_SUBJECTS.get(sign.detector, sign.detector), sign.element)
        is_new = subject not in seen
        is_new_run = absences_in_a_row(sign) >= MIN_ABSENCES_IN_A_ROW and _RUN not in seen
        seen |= {subject, _RUN} if is_new_run else {subject}
        if is_new:
            yield sign
        elif sign.detector != "withdrawal" or is_new_run or sign.numbers.get("cut_short") or sign.numbers.get("silent"):
            numbers = {name: number for name, number in sign.numbers.items() if name not in _SAID_ONCE}
            yield sign.model_copy(update={"numbers": numbers})
