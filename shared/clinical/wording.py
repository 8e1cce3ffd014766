"""Evidence in words that a tired clinician reads in ten seconds.

One sentence for each session, the newest first: its date, not that of an answer or of a form that lapsed, then what was
reported, rated or missed. The sentences are about the relationship, never about what the client lacks. They say "signs
of", never "detected". A number that is not known is left out, and the sentence still makes sense.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import groupby

from shared.clinical.absences import describe_withdrawal
from shared.clinical.signs import (
    REQUIRED_NUMBERS,
    format_rating,
    is_within_band,
    reporter,
    select_signs,
    session_at,
    session_key,
)
from shared.events import Element, Evidence, Rater

ELEMENT_NAMES: dict[Element | None, str] = {
    "trust": "trust",
    "respect": "respect",
    "collaboration": "working together",
    "non_judgment": "freedom from judgment",
    "guidance": "guidance",
    "common_aim": "agreement on the aim",
    "commitment": "commitment",
    "fit": "the way of working",
    None: "one element",
}
MAX_SENTENCES = 3  # more are not read
MAX_ELEMENTS = 3  # of one answer
_ALL = {2: "both ", 3: "all "}
MIN_OWN_RATINGS = 4  # with fewer of a person's own, what is usual rests on the clinic too, and nothing has fallen

_SCALE = " of 10"
_OWN = " with this client"
_FEW_OWN = ", from few ratings here and this clinic's"
_SAID_ONCE = (_SCALE, _OWN, _FEW_OWN)
"""Phrases that the first number of a sentence has, and the others mean too."""

Numbers = Mapping[str, float]
Signs = Sequence[Evidence]


def describe_evidence(evidence: Iterable[Evidence], zone: tzinfo = UTC) -> list[str]:
    """At most three sentences, the newest session first, with dates in `zone`."""
    sessions: dict[object, list[Evidence]] = {}
    for sign in select_signs(evidence):
        local = sign.model_copy(update={"occurred_at": sign.occurred_at.astimezone(zone)})
        sessions.setdefault(session_key(sign), []).append(local)
    newest = list(sessions.values())[:MAX_SENTENCES]  # by their newest signs: the one that raised the alert is in them
    newest.sort(key=_date, reverse=True)
    return list(dict.fromkeys(map(_describe_session, newest)))


def _date(signs: Signs) -> datetime:
    """When the session was. A sign of an older version does not say so, and the first of them is next to it."""
    return min(map(session_at, signs))


def describe_usual_range(numbers: Numbers, usually: str = "usually ") -> str:
    """`usually 7.8 to 9 with this client`; empty if unknown. `usually` is left out after a text that says so.

    With fewer than four ratings of that person it rests on those of the clinic too, and says so. It is never the range
    of the clinic: it is where this person's rating was expected.
    """
    limits = _limits(numbers)
    if not limits or numbers.get("own", MIN_OWN_RATINGS) >= MIN_OWN_RATINGS:
        return limits and f"{usually}{limits}{_OWN}"
    return f"so far {usually}{limits}{_FEW_OWN}"


def _limits(numbers: Numbers) -> str:
    if "low" in numbers and "high" in numbers:
        return " to ".join(dict.fromkeys(format_rating(numbers[name]) for name in ("low", "high")))
    return f"around {format_rating(numbers['expected'])}" if "expected" in numbers else ""


def _describe_session(signs: Signs) -> str:
    date = f"{_date(signs):%A %-d %B}"
    number = next((sign.numbers["session"] for sign in signs if "session" in sign.numbers), None)
    session = "" if number is None else f", after session {number:.0f}"
    complete = [sign for sign in signs if REQUIRED_NUMBERS.get(sign.detector, frozenset()) <= sign.numbers.keys()]
    clauses = [clause for describe in _CLAUSES for clause in describe(complete)]
    text = "; ".join(clauses) or "there were signs of strain between client and clinician"
    for phrase in _SAID_ONCE:
        first, said, rest = text.partition(phrase)
        text = f"{first}{said}{rest.replace(phrase, '')}"
    return f"{date}{session}: {text}."


def _find(signs: Signs, *detectors: str) -> Evidence | None:
    """The first sign of the first of these detectors that is about the answer as a whole."""
    return next((s for name in detectors for s in signs if s.detector == name and s.element is None), None)


def _tension(signs: Signs) -> Iterator[str]:
    reports = {reporter(sign): sign.numbers for sign in signs if sign.detector == "told_directly"}
    if not reports:
        return
    is_slight = all(numbers.get("tension") == 1 for numbers in reports.values())
    answers = {rater: text for rater, numbers in reports.items() if (text := _talked_about(numbers))}
    (rater, numbers), *others = sorted(reports.items())  # the client first
    is_both = bool(others) or numbers.get("other") == 1
    other = "client" if rater == "clinician" else "clinician"
    yield (
        f"{'both' if is_both else f'the {rater}'} reported {'a little ' * is_slight}tension "
        f"with {'each other' if is_both else f'the {other}'}{_answers_phrase(answers, rater, is_both)}"
    )
    if numbers.get("other") == 0 and not is_both:
        yield f"on the {other}'s form there was none"


def _answers_phrase(answers: Mapping[Rater, str], rater: Rater, is_both: bool) -> str:
    """Who said whether it was talked about: what one of the two answered need not be so for the other."""
    if len(answers) == 2 and len(set(answers.values())) == 1:
        return f"; both said that it {answers[rater]}"
    if is_both:
        said = " and ".join(f"the {by} said that it {text}" for by, text in sorted(answers.items()))
        return said and f"; {said}"
    return f" and said that it {answers[rater]}" if answers else ""


def _talked_about(numbers: Numbers) -> str | None:
    """Nothing is said of a question that was left open."""
    texts = {0: "was not talked about", 1: "was partly talked about", 2: "was talked about"}
    return texts.get(int(numbers.get("talked_about", -1)))


def _client_rating(signs: Signs) -> Iterator[str]:
    sign = _find_client_rating(signs)
    if sign is not None:
        again = _find(signs, "low_again")
        notes = ["low in any relationship"] if _find(signs, "at_floor") else []
        notes += [_comparison_with_resolved(again.numbers)] if again else []
        yield _rating_phrase("the client's", sign) + (f", {' and '.join(notes)}" if notes else "")


def _find_client_rating(signs: Signs) -> Evidence | None:
    return _find(signs, "sustained_slide", "sudden_drop", "at_floor", "low_again")


def _comparison_with_resolved(numbers: Numbers) -> str:
    if "level" in numbers and (level := format_rating(numbers["level"])) != format_rating(numbers["rating"]):
        return f"no higher than the {level} at which the resolved alert began"
    return "no higher than when the resolved alert began"


def _rating_phrase(whose: str, sign: Evidence) -> str:
    """One rating, or several in a row."""
    if "ratings" not in sign.numbers:
        return _value_phrase(f"{whose} rating", sign)
    ratings = f"{whose} last {sign.numbers['ratings']:.0f} ratings were"
    if is_within_band(sign):
        return f"{ratings} at the lower end of what is usual{_usual_phrase(sign, '')}, the latest {_rating_text(sign)}"
    return f"{ratings} lower than expected, the latest {_rating_text(sign)}{_usual_phrase(sign)}"


def _value_phrase(subject: str, sign: Evidence) -> str:
    if is_within_band(sign):
        return f"{subject} was {_rating_text(sign)}, at the lower end of what is usual{_usual_phrase(sign, '')}"
    return f"{subject} {'fell to' if _has_fallen(sign) else 'was'} {_rating_text(sign)}{_usual_phrase(sign)}"


def _has_fallen(sign: Evidence) -> bool:
    """An answer at the floor may be the first, and the first ones have not fallen from anywhere."""
    is_drop = sign.detector not in ("at_floor", "low_again")
    return is_drop and sign.numbers.get("own", MIN_OWN_RATINGS) >= MIN_OWN_RATINGS


def _usual_phrase(sign: Evidence, usually: str = "usually ") -> str:
    usual_range = describe_usual_range(sign.numbers, usually)
    return f" ({usual_range})" if usual_range else ""


def _rating_text(sign: Evidence, name: str = "rating") -> str:
    return f"{format_rating(sign.numbers[name])}{_SCALE}"


def _elements(signs: Signs) -> Iterator[str]:
    """First those that are low in any relationship, then those that are lower than usual; the lowest first."""
    floors = {sign.element for sign in signs if sign.detector == "at_floor"} - {None}
    about_elements = [sign for sign in signs if sign.detector == "element_drop" or sign.element in floors]
    about_elements.sort(key=lambda sign: sign.detector == "element_drop")  # these replace others: they know the usual
    by_element = {sign.element: sign for sign in about_elements}
    lowest = sorted(by_element.values(), key=lambda sign: (sign.element not in floors, sign.numbers["rating"]))
    is_said = _find(signs, "at_floor") is not None
    for is_low, same in groupby(lowest[:MAX_ELEMENTS], lambda sign: sign.element in floors):
        signs = list(same)
        note = f", {_ALL.get(len(signs), '')}low in any relationship" if is_low and not is_said else ""
        yield _elements_phrase(signs) + note
        yield from _rest(signs)


def _elements_phrase(signs: Signs) -> str:
    """`trust fell to 3 of 10 (usually 8 to 9 with this client), guidance to 4 (7 to 8)`, or `trust and respect were 0`.

    Elements with the same rating are joined unless their ranges differ.
    """
    first, *others = signs
    if not others:
        return _value_phrase(ELEMENT_NAMES[first.element], first)
    have_fallen = all(_has_fallen(sign) for sign in signs)
    groups = [(key, list(same)) for key, same in groupby(signs, lambda sign: (_rating_text(sign), _usual_phrase(sign)))]
    verb = "fell to" if have_fallen else "was" if len(groups[0][1]) == 1 else "were"
    phrases, is_said = list[str](), False
    for (rating, usual), same in groups:
        names = _join([ELEMENT_NAMES[sign.element] for sign in same])
        rating += _short_usual_phrase(same[0]) if is_said else usual
        phrases.append(" ".join(filter(None, (names, verb, rating))))
        verb, is_said = "to" if have_fallen else "", is_said or bool(usual)
    return ", ".join(phrases)


def _short_usual_phrase(sign: Evidence) -> str:
    """The range of a further element, after one that said whose and since when."""
    limits = _limits(sign.numbers)
    return f" ({limits})" if limits else ""


def _rest(signs: Signs) -> Iterator[str]:
    """The others' mean, if one element alone is lower."""
    first, *others = signs
    if "rest" in first.numbers and not others:
        yield f"the others averaged {format_rating(first.numbers['rest'])}"


def _join(phrases: Sequence[str]) -> str:
    *first, last = phrases
    return f"{', '.join(first)} and {last}" if first else last


def _clinician_rating(signs: Signs) -> Iterator[str]:
    if sign := _find(signs, "clinician_drop"):
        yield _rating_phrase("the clinician's", sign)


def _apart(signs: Signs) -> Iterator[str]:
    """What each of the two rated, unless it has been said."""
    if (sign := _find(signs, "apart")) is None:
        return
    is_said = {"client": _find_client_rating(signs) is not None, "clinician": bool(_find(signs, "clinician_drop"))}
    verb = " rated the session"
    phrases = []
    for rater in [rater for rater in is_said if not is_said[rater]]:
        phrases.append(f"the {rater}{verb} {_rating_text(sign, rater)}")
        verb = ""
    if phrases:
        yield ", ".join(phrases) + _usual_difference(sign.numbers)


def _usual_difference(numbers: Numbers) -> str:
    if "usual" not in numbers:
        return ""
    difference = format_rating(abs(numbers["usual"]))
    direction = "higher" if numbers["usual"] > 0 else "lower"
    return f" (usually the client's is {difference} {direction})" if difference != "0" else " (usually the same)"


def _withdrawal(signs: Signs) -> Iterator[str]:
    if sign := _find(signs, "withdrawal"):
        yield from describe_withdrawal(sign)


def _scale(signs: Signs) -> Iterator[str]:
    """A first form of zeros may be the scale read the wrong way round."""
    if any(sign.detector == "at_floor" and _is_first_answer(sign.numbers) for sign in signs):
        yield "it is worth asking how the scale was read"


def _is_first_answer(numbers: Numbers) -> bool:
    """Evidence of older versions does not say how many own ratings there were, but nearly always the session."""
    return numbers["own"] == 0 if "own" in numbers else numbers.get("session", 1) == 1


_CLAUSES = (_tension, _client_rating, _elements, _apart, _clinician_rating, _withdrawal, _scale)
"""In the order in which they are read: what a person said, what was rated, what did not happen, what to ask."""
