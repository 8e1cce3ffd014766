"""Evidence in words that a tired clinician reads in ten seconds.

About the relationship, never about what the client lacks; "signs of", never "detected".
"""

from collections.abc import Callable, Mapping

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

Numbers = Mapping[str, float]


def sentence(evidence: Evidence) -> str:
    """What one sign says; what a newer detector found is said in general words."""
    say = _SENTENCES.get(evidence.detector)
    return say(evidence, evidence.numbers) if say else "Something in how the two work together has changed."


def _sudden_drop(_evidence: Evidence, n: Numbers) -> str:
    return f"The client's rating fell to {_score(n, 'rating')}; around {_score(n, 'expected')} is usual here."


def _sustained_slide(_evidence: Evidence, n: Numbers) -> str:
    return (
        f"The client's ratings have been slipping over several sessions, to {_score(n, 'rating')}; "
        f"around {_score(n, 'expected')} is usual here."
    )


def _clinician_drop(_evidence: Evidence, n: Numbers) -> str:
    return f"The clinician's rating fell to {_score(n, 'rating')}; around {_score(n, 'expected')} is usual here."


def _low_level(_evidence: Evidence, n: Numbers) -> str:
    return f"The rolling score has come down to {_score(n, 'level')}."


def _element_drop(evidence: Evidence, n: Numbers) -> str:
    element = ELEMENTS[evidence.element] if evidence.element else "One element"
    return f"{element} fell to {_score(n, 'rating')} while the rest held; around {_score(n, 'expected')} is usual here."


def _told_directly(_evidence: Evidence, n: Numbers) -> str:
    who = "The clinician" if n.get("by_client") == 0 else "The client"
    how_much = "a little tension" if n.get("tension") == 1 else "tension"
    talked = {0: "it was not talked about", 1: "it was partly talked about", 2: "it was talked about"}
    return f"{who} told of {how_much} between the two; {talked.get(int(n.get('talked_about', 1)), talked[1])}."


def _withdrawal(_evidence: Evidence, n: Numbers) -> str:
    signs = [
        _counted(n, "missed", "session missed", "sessions missed"),
        _counted(n, "cancelled_late", "session called off late", "sessions called off late"),
        "no answer to the last form" if n.get("silent") else "",
    ]
    return f"Lately: {', '.join(filter(None, signs)) or 'less contact than usual'}."


def _apart(_evidence: Evidence, n: Numbers) -> str:
    return (
        f"The two saw the session differently: {_score(n, 'client')} for the client, "
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


def _score(numbers: Numbers, name: str) -> str:
    return f"{numbers[name]:.0f}" if name in numbers else "an unusual value"


def _counted(numbers: Numbers, name: str, one: str, many: str) -> str:
    count = int(numbers.get(name, 0))
    return f"{count} {one if count == 1 else many}" if count else ""
