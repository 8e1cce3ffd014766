"""Evidence in words that a tired clinician reads in ten seconds.

The sentences are about the relationship, never about what the client lacks. They say "signs of", never "detected". A
number that is not known is left out, and the sentence still makes sense.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from shared.events import Element, Evidence

ELEMENT_NAMES: dict[Element, str] = {
    "trust": "Trust",
    "respect": "Respect",
    "collaboration": "Working together",
    "non_judgment": "Freedom from judgment",
    "guidance": "Guidance",
    "common_aim": "Agreement on the aim",
    "commitment": "Commitment",
    "fit": "The way of working",
}
MAX_SENTENCES = 3  # more are not read

Numbers = Mapping[str, float]


def describe_evidence(evidence: Iterable[Evidence]) -> list[str]:
    """At most three sentences, the strongest sign first. Several signs about the same answer share one sentence."""
    sentences: dict[str, None] = {}
    for group in _group_by_subject(_without_redundant_drops(sort_by_strength(evidence))):
        sentences[_describe_group(group)] = None
    return list(sentences)[:MAX_SENTENCES]


def sentence(evidence: Evidence) -> str:
    """One sentence about one sign; the sign of an unknown, newer detector gets a general one."""
    describe = _SENTENCES.get(evidence.detector)
    return describe(evidence, evidence.numbers) if describe else "Something in how the two work together has changed."


def sort_by_strength(evidence: Iterable[Evidence]) -> list[Evidence]:
    """The signs, strongest first."""
    return sorted(evidence, key=lambda sign: sign.strength, reverse=True)


_SHARED_SUBJECTS = {"sudden_drop": "rating", "sustained_slide": "rating", "low_level": "rating"}
"""Detectors that look at the same number, so that one message is enough."""


def _without_redundant_drops(signs: Sequence[Evidence]) -> list[Evidence]:
    """The signs without each drop of the whole rating that the drop of one element explains."""
    explained = {sign.session_id for sign in signs if sign.detector == "element_drop" and "rest" in sign.numbers}
    return [
        sign
        for sign in signs
        if sign.detector != "sudden_drop" or sign.session_id is None or sign.session_id not in explained
    ]


def _group_by_subject(signs: Iterable[Evidence]) -> list[list[Evidence]]:
    """Groups the signs that are about the same subject and session; groups keep the order of their first sign."""
    groups: dict[tuple[object, ...], list[Evidence]] = {}
    for sign in signs:
        subject = _SHARED_SUBJECTS.get(sign.detector, sign.detector)
        groups.setdefault((subject, sign.session_id or sign.occurred_at), []).append(sign)
    return list(groups.values())


def _describe_group(signs: Sequence[Evidence]) -> str:
    """One sentence for signs about the same subject and session: a slide says more than the drop that ends it."""
    first = signs[0]
    if first.detector == "element_drop" and len(signs) > 1:
        return _elements_drop(signs)
    if first.detector == "told_directly" and len(signs) > 1:
        return _both_told(signs)
    return sentence(next((sign for sign in signs if sign.detector == "sustained_slide"), first))


def _sudden_drop(_evidence: Evidence, numbers: Numbers) -> str:
    return f"The client's rating {_fall_phrase(numbers)}."


def _sustained_slide(_evidence: Evidence, numbers: Numbers) -> str:
    period = f"over {numbers['ratings']:.0f} answers" if "ratings" in numbers else "over several sessions"
    score = _score_text(numbers, "rating") + _after_session_phrase(numbers) + _usual_range_phrase(numbers)
    return f"The client's ratings have been slipping {period}, to {score}."


def _clinician_drop(_evidence: Evidence, numbers: Numbers) -> str:
    return f"The clinician's rating {_fall_phrase(numbers)}."


def _low_level(_evidence: Evidence, numbers: Numbers) -> str:
    threshold = f"; below {numbers['threshold']:.0f} is low in any relationship" if "threshold" in numbers else ""
    score = _score_text(numbers, "level") + _after_session_phrase(numbers)
    return f"The rolling score has come down to {score}{threshold}."


def _low_again(_evidence: Evidence, numbers: Numbers) -> str:
    level = f" ({numbers['level']:.0f})" if "level" in numbers else ""
    score = _score_text(numbers, "rating") + _after_session_phrase(numbers)
    return f"The client's rating was {score}, no higher than at the start of the last alert that was resolved{level}."


def _element_drop(evidence: Evidence, numbers: Numbers) -> str:
    element = ELEMENT_NAMES[evidence.element] if evidence.element else "One element"
    rest = f", while the rest stayed at {numbers['rest']:.0f}" if "rest" in numbers else ""
    return f"{element} {_fall_phrase(numbers)}{rest}."


def _elements_drop(signs: Sequence[Evidence]) -> str:
    """Two or three elements of one answer, in one sentence."""
    drops = [
        (ELEMENT_NAMES[sign.element] if sign.element else "One element", _score_text(sign.numbers, "rating"))
        for sign in signs[:MAX_SENTENCES]
    ]
    phrases = [f"{name if index == 0 else name.lower()} to {rating}" for index, (name, rating) in enumerate(drops)]
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}: these fell furthest{_after_session_phrase(signs[0].numbers)}."


_TALKED_ABOUT = {0: "it was not talked about", 1: "it was partly talked about", 2: "it was talked about"}


def _told_directly(_evidence: Evidence, numbers: Numbers) -> str:
    reporter, other = ("clinician", "client") if numbers.get("by_client") == 0 else ("client", "clinician")
    tension = _tension_phrase(numbers)
    if numbers.get("other") == 1:
        return f"Both told of {tension}; {_talked_about_phrase(numbers)}."
    contrast = f", and the {other} of none" if numbers.get("other") == 0 else ""
    return f"The {reporter} told of {tension}{contrast}; {_talked_about_phrase(numbers)}."


def _both_told(signs: Sequence[Evidence]) -> str:
    """Both told of tension; each is quoted if they differ on whether it was talked about."""
    if len({_talked_about_phrase(sign.numbers) for sign in signs}) == 1:
        return sentence(signs[0].model_copy(update={"numbers": {**signs[0].numbers, "other": 1}}))
    return f"Both told of {_tension_phrase(signs[0].numbers)}; {', '.join(_quote(sign.numbers) for sign in signs)}."


def _quote(numbers: Numbers) -> str:
    reporter = "clinician" if numbers.get("by_client") == 0 else "client"
    if "talked_about" in numbers:
        return f"the {reporter} said that {_talked_about_phrase(numbers)}"
    return f"the {reporter} did not say whether it was talked about"


def _tension_phrase(numbers: Numbers) -> str:
    how_much = "a little tension" if numbers.get("tension") == 1 else "tension"
    return f"{how_much} between the two{_in_session_phrase(numbers)}"


def _talked_about_phrase(numbers: Numbers) -> str:
    return _TALKED_ABOUT.get(int(numbers.get("talked_about", -1)), "it was not said whether it was talked about")


def _withdrawal(_evidence: Evidence, numbers: Numbers) -> str:
    absences = " and ".join(
        filter(
            None,
            [
                _count_phrase(numbers, "missed", "was missed", "were missed"),
                _cancelled_late_phrase(numbers, is_first=not numbers.get("missed")),
            ],
        )
    )
    cut_short = f"{_session_phrase(numbers)} was cut short" if numbers.get("cut_short") else ""
    no_feedback = f"no feedback came for {_session_phrase(numbers)}" if numbers.get("silent") else ""
    text = (
        "; ".join(filter(None, [f"lately {absences}" if absences else "", cut_short, no_feedback]))
        or "lately less contact than usual"
    )
    return f"{text[0].upper()}{text[1:]}."


def _apart(_evidence: Evidence, numbers: Numbers) -> str:
    return (
        f"The two saw {_session_phrase(numbers)} differently: {_score_text(numbers, 'client')} for the client, "
        f"{_score_text(numbers, 'clinician')} for the clinician."
    )


_SENTENCES: dict[str, Callable[[Evidence, Numbers], str]] = {
    "sudden_drop": _sudden_drop,
    "sustained_slide": _sustained_slide,
    "clinician_drop": _clinician_drop,
    "low_level": _low_level,
    "low_again": _low_again,
    "element_drop": _element_drop,
    "told_directly": _told_directly,
    "withdrawal": _withdrawal,
    "apart": _apart,
}
KNOWN_DETECTORS = frozenset(_SENTENCES)
"""The detectors that have a sentence of their own."""


def _fall_phrase(numbers: Numbers) -> str:
    """`fell to 52 after session 9 (usually 78 to 90 here)`; a rating within the band has not fallen out of it."""
    is_within_band = "rating" in numbers and "low" in numbers and round(numbers["rating"]) >= round(numbers["low"])
    verb = "was at the lower end, at" if is_within_band else "fell to"
    return f"{verb} {_score_text(numbers, 'rating')}{_after_session_phrase(numbers)}{_usual_range_phrase(numbers)}"


def _usual_range_phrase(numbers: Numbers) -> str:
    if "low" in numbers and "high" in numbers:
        return f" (usually {numbers['low']:.0f} to {numbers['high']:.0f} here)"
    return f" (usually around {numbers['expected']:.0f} here)" if "expected" in numbers else ""


def _after_session_phrase(numbers: Numbers) -> str:
    return f" after session {numbers['session']:.0f}" if "session" in numbers else ""


def _in_session_phrase(numbers: Numbers) -> str:
    return f" in session {numbers['session']:.0f}" if "session" in numbers else ""


def _session_phrase(numbers: Numbers) -> str:
    return f"session {numbers['session']:.0f}" if "session" in numbers else "the last session"


def _score_text(numbers: Numbers, name: str) -> str:
    return f"{numbers[name]:.0f}" if name in numbers else "an unusual value"


def _cancelled_late_phrase(numbers: Numbers, is_first: bool) -> str:
    return _count_phrase(
        numbers, "cancelled_late", "was called off late", "were called off late", "session" if is_first else ""
    )


def _count_phrase(numbers: Numbers, name: str, singular: str, plural: str, noun: str = "session") -> str:
    count = int(numbers.get(name, 0))
    quantity = f"{count} {noun}{'s' if noun and count != 1 else ''}".strip()
    return f"{quantity} {singular if count == 1 else plural}" if count else ""
