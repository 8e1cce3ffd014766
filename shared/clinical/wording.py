"""Evidence in words that a tired clinician reads in ten seconds.

About the relationship, never about what the client lacks; "signs of", never "detected". A number that is not known is
left out, and the sentence still makes sense.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from shared.events import Element, Evidence

ELEMENTS: dict[Element, str] = {
    "trust": "Trust",
    "respect": "Respect",
    "collaboration": "Working together",
    "non_judgment": "Freedom from judgment",
    "guidance": "Guidance",
    "common_aim": "Agreement on the aim",
    "commitment": "Commitment",
    "fit": "The way of working",
}
MOST = 3  # sentences: more are not read

Numbers = Mapping[str, float]


def why(evidence: Iterable[Evidence]) -> list[str]:
    """At most three sentences, the strongest sign first, and one for what several signs say of the same answer."""
    sentences: dict[str, None] = {}
    for group in _merged(_without_echoes(strongest_first(evidence))):
        sentences[_together(group)] = None
    return list(sentences)[:MOST]


def sentence(evidence: Evidence) -> str:
    """What one sign says; what a newer detector found is said in general words."""
    describe = _SENTENCES.get(evidence.detector)
    return describe(evidence, evidence.numbers) if describe else "Something in how the two work together has changed."


def strongest_first(evidence: Iterable[Evidence]) -> list[Evidence]:
    """The signs in the order in which they are told."""
    return sorted(evidence, key=lambda sign: sign.strength, reverse=True)


_SUBJECTS = {"sudden_drop": "rating", "sustained_slide": "rating", "low_level": "rating"}
"""Detectors that look at the same number, so that one message is enough."""


def _without_echoes(signs: Sequence[Evidence]) -> list[Evidence]:
    """The signs without a fall of the whole that is nothing but the fall of one element."""
    explained = {sign.session_id for sign in signs if sign.detector == "element_drop" and "rest" in sign.numbers}
    return [
        sign
        for sign in signs
        if sign.detector != "sudden_drop" or sign.session_id is None or sign.session_id not in explained
    ]


def _merged(signs: Iterable[Evidence]) -> list[list[Evidence]]:
    """The signs that say the same of one session together, in the order of the first of each."""
    groups: dict[tuple[object, ...], list[Evidence]] = {}
    for sign in signs:
        subject = _SUBJECTS.get(sign.detector, sign.detector)
        groups.setdefault((subject, sign.session_id or sign.occurred_at), []).append(sign)
    return list(groups.values())


def _together(signs: Sequence[Evidence]) -> str:
    """One sentence for signs about the same of one session: a slide says more than the drop that it ends in."""
    first = signs[0]
    if first.detector == "element_drop" and len(signs) > 1:
        return _elements_drop(signs)
    if first.detector == "told_directly" and len(signs) > 1:
        return sentence(first.model_copy(update={"numbers": {**first.numbers, "other": 1}}))
    return sentence(next((sign for sign in signs if sign.detector == "sustained_slide"), first))


def _sudden_drop(_evidence: Evidence, n: Numbers) -> str:
    return f"The client's rating {_fell(n)}."


def _sustained_slide(_evidence: Evidence, n: Numbers) -> str:
    period = f"over {n['ratings']:.0f} answers" if "ratings" in n else "over several sessions"
    return f"The client's ratings have been slipping {period}, to {_score(n, 'rating')}{_after(n)}{_usually(n)}."


def _clinician_drop(_evidence: Evidence, n: Numbers) -> str:
    return f"The clinician's rating {_fell(n)}."


def _low_level(_evidence: Evidence, n: Numbers) -> str:
    threshold = f"; below {n['threshold']:.0f} is low in any relationship" if "threshold" in n else ""
    return f"The rolling score has come down to {_score(n, 'level')}{_after(n)}{threshold}."


def _element_drop(evidence: Evidence, n: Numbers) -> str:
    element = ELEMENTS[evidence.element] if evidence.element else "One element"
    rest = f", while the rest stayed at {n['rest']:.0f}" if "rest" in n else ""
    return f"{element} {_fell(n)}{rest}."


def _elements_drop(signs: Sequence[Evidence]) -> str:
    """Two or three elements of one answer, in one sentence."""
    drops = [
        (ELEMENTS[sign.element] if sign.element else "One element", _score(sign.numbers, "rating"))
        for sign in signs[:MOST]
    ]
    phrases = [f"{name if index == 0 else name.lower()} to {rating}" for index, (name, rating) in enumerate(drops)]
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}: these fell furthest{_after(signs[0].numbers)}."


def _told_directly(_evidence: Evidence, n: Numbers) -> str:
    reporter, other = ("clinician", "client") if n.get("by_client") == 0 else ("client", "clinician")
    how_much = "a little tension" if n.get("tension") == 1 else "tension"
    talked_about = {0: "it was not talked about", 1: "it was partly talked about", 2: "it was talked about"}
    if n.get("other") == 1:
        text = f"Both told of {how_much} between the two{_in(n)}"
    else:
        contrast = f", and the {other} of none" if n.get("other") == 0 else ""
        text = f"The {reporter} told of {how_much} between the two{_in(n)}{contrast}"
    return f"{text}; {talked_about.get(int(n.get('talked_about', 1)), talked_about[1])}."


def _withdrawal(_evidence: Evidence, n: Numbers) -> str:
    absences = " and ".join(
        filter(None, [_counted(n, "missed", "was missed", "were missed"), _late(n, first=not n.get("missed"))])
    )
    cut_short = f"{_the_session(n)} was cut short" if n.get("cut_short") else ""
    no_feedback = f"no feedback came for {_the_session(n)}" if n.get("silent") else ""
    text = (
        "; ".join(filter(None, [f"lately {absences}" if absences else "", cut_short, no_feedback]))
        or "lately less contact than usual"
    )
    return f"{text[0].upper()}{text[1:]}."


def _apart(_evidence: Evidence, n: Numbers) -> str:
    return (
        f"The two saw {_the_session(n)} differently: {_score(n, 'client')} for the client, "
        f"{_score(n, 'clinician')} for the clinician."
    )


_SENTENCES: dict[str, Callable[[Evidence, Numbers], str]] = {
    "sudden_drop": _sudden_drop,
    "sustained_slide": _sustained_slide,
    "clinician_drop": _clinician_drop,
    "low_level": _low_level,
    "element_drop": _element_drop,
    "told_directly": _told_directly,
    "withdrawal": _withdrawal,
    "apart": _apart,
}
KINDS = frozenset(_SENTENCES)
"""The detectors that we have words for."""


def _fell(n: Numbers) -> str:
    """`fell to 52 after session 9 (usually 78 to 90 here)`; a rating within the band has not fallen out of it."""
    is_within_band = "rating" in n and "low" in n and round(n["rating"]) >= round(n["low"])
    verb = "was at the lower end" if is_within_band else "fell"
    return f"{verb}{', at' if is_within_band else ' to'} {_score(n, 'rating')}{_after(n)}{_usually(n)}"


def _usually(n: Numbers) -> str:
    if "low" in n and "high" in n:
        return f" (usually {n['low']:.0f} to {n['high']:.0f} here)"
    return f" (usually around {n['expected']:.0f} here)" if "expected" in n else ""


def _after(n: Numbers) -> str:
    return f" after session {n['session']:.0f}" if "session" in n else ""


def _in(n: Numbers) -> str:
    return f" in session {n['session']:.0f}" if "session" in n else ""


def _the_session(n: Numbers) -> str:
    return f"session {n['session']:.0f}" if "session" in n else "the last session"


def _score(numbers: Numbers, name: str) -> str:
    return f"{numbers[name]:.0f}" if name in numbers else "an unusual value"


def _late(n: Numbers, first: bool) -> str:
    return _counted(n, "cancelled_late", "was called off late", "were called off late", "session" if first else "")


def _counted(numbers: Numbers, name: str, singular: str, plural: str, noun: str = "session") -> str:
    count = int(numbers.get(name, 0))
    quantity = f"{count} {noun}{'s' if noun and count != 1 else ''}".strip()
    return f"{quantity} {singular if count == 1 else plural}" if count else ""
