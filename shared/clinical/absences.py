"""Missed sessions, late cancellations, unanswered forms and sessions cut short: what one sign says, in words."""

from collections.abc import Iterator, Mapping
from typing import Literal

from shared.clinical.signs import MIN_ABSENCES_IN_A_ROW, absences_in_a_row, session_at
from shared.events import Evidence

WithdrawalKind = Literal["absence", "silence", "cut_short"]

ABSENCE_CODES = {"missed": 1, "cancelled_late": 2}
"""The number `absence` of a sign, by why its own appointment was not held. Stored events have it: no code changes."""

_ABSENCES = {code: absence for absence, code in ABSENCE_CODES.items()}
_WORDS = {"missed": "missed", "cancelled_late": "called off late"}

Numbers = Mapping[str, float]


def withdrawal_kinds(sign: Evidence) -> Iterator[WithdrawalKind]:
    """What the sign says happened, its own event first; nothing if its numbers do not say."""
    numbers = sign.numbers
    if numbers.get("cut_short"):
        yield "cut_short"
    if numbers.get("silent"):
        yield "silence"
    if numbers.get("absence") or any(map(numbers.get, _WORDS)) or absences_in_a_row(sign) >= MIN_ABSENCES_IN_A_ROW:
        yield "absence"


def describe_withdrawal(sign: Evidence) -> Iterator[str]:
    """One clause for each thing that happened; the days are those of the time zone of the sign."""
    clauses = [_cut_short(sign.numbers), _silence(sign), _absences(sign)]
    yield from list(filter(None, clauses)) or ["there was less contact than usual"]


def _cut_short(numbers: Numbers) -> str:
    return f"the {'' if 'session' in numbers else 'last '}session was cut short" if numbers.get("cut_short") else ""


def _silence(sign: Evidence) -> str:
    """By which day an answer was awaited; the sentence begins with the day of the session."""
    if not sign.numbers.get("silent"):
        return ""
    about = "" if "session" in sign.numbers else " about the last session"
    by = f"by {sign.occurred_at:%A %-d %B}" if _is_later_day(sign) else "in time"
    return f"no answer from the client{about} {by}"


def _is_later_day(sign: Evidence) -> bool:
    """Whether the sign occurred on a later day than the session, so that the sentence names that day too."""
    return sign.occurred_at.date() > session_at(sign).date()


def _absences(sign: Evidence) -> str:
    numbers, run = sign.numbers, absences_in_a_row(sign)
    counts = {name: numbers[name] for name in _WORDS if numbers.get(name)}
    is_of_session = bool(numbers.get("silent") or numbers.get("cut_short"))
    own = None if is_of_session else _own_absence(numbers, counts)
    if not is_of_session and run >= MIN_ABSENCES_IN_A_ROW:
        if own is None:
            return f"{run:.0f} appointments in a row were missed or called off late"
        return f"this appointment was {_WORDS[own]}, the {_ordinal(run)} absence in a row"
    latest = f"the last {numbers['appointments']:.0f}" if "appointments" in numbers else "the latest"
    if own is None:
        return _count(counts, f"{latest} appointments{' until then' * _is_later_day(sign)}")
    others = {name: count for name, count in counts.items() if name != own}
    if counts.get(own, 1) <= 1:
        return f"this appointment was {_WORDS[own]}" + (f", and {_count(others, latest)}" if others else "")
    text = f"this appointment was {_WORDS[own]}, the {_ordinal(counts[own])} {_WORDS[own]} of {latest}"
    return text + (f", and {_count(others)}" if others else "")


def _own_absence(numbers: Numbers, counts: Numbers) -> str | None:
    """Why the appointment itself was not held. Evidence of older versions says so only if there was one reason."""
    if "absence" in numbers:
        return _ABSENCES.get(int(numbers["absence"]))
    return next(iter(counts)) if len(counts) == 1 else None


def _count(counts: Numbers, appointments: str = "") -> str:
    """`2 of the last 4 appointments were missed and 1 was called off late`."""
    of = f" of {appointments}" if appointments else ""
    phrases = []
    for name, count in counts.items():
        phrases.append(f"{count:.0f}{of} {'was' if count == 1 else 'were'} {_WORDS[name]}")
        of = ""
    return " and ".join(phrases)


def _ordinal(number: float) -> str:
    count = int(number)
    suffix = "th" if count % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{suffix}"
