"""Suggestions for beginning a conversation about the signs: the catalogue `openings.toml`, and what fits which sign."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator

from shared.clinical.signs import KNOWN_DETECTORS, reporter, select_signs
from shared.events import Element, Evidence, Rater
from shared.runtime.model import Model

MAX_SUGGESTIONS = 2  # offered at a time: one to use, and one alternative

_ANY = "any"


class Opening(Model):
    """Something that a clinician can say as it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str
    element: Element | None = None
    reporter: Rater | None = None
    text: str = Field(min_length=20, max_length=160)
    source: str = Field(min_length=10)

    @model_validator(mode="after")
    def _require_known_sign(self) -> Self:
        if self.detector not in KNOWN_DETECTORS | {_ANY}:
            raise ValueError(
                f"unknown detector {self.detector}; known are {', '.join(sorted(KNOWN_DETECTORS))} and {_ANY}"
            )
        is_of_element = self.detector == "element_drop" or (self.detector == "at_floor" and self.element is not None)
        if (self.element is not None) != is_of_element:
            raise ValueError("an element is required for the detector element_drop, and else allowed only for at_floor")
        if (self.reporter is not None) != (self.detector == "told_directly"):
            raise ValueError("a reporter is required for the detector told_directly, and allowed for no other")
        return self

    @property
    def sign_key(self) -> tuple[str, Element | None, Rater | None]:
        """The signs that it fits."""
        return self.detector, self.element, self.reporter


class Catalogue(Model):
    """All openings, with at least one for each sign."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    opening: tuple[Opening, ...]

    @model_validator(mode="after")
    def _require_every_sign(self) -> Self:
        if missing := set(_all_sign_keys()) - {opening.sign_key for opening in self.opening}:
            raise ValueError(f"no opening matches {sorted(missing, key=str)}")
        if duplicates := [text for text, count in Counter(o.text for o in self.opening).items() if count > 1]:
            raise ValueError(f"duplicate texts: {duplicates}")
        return self

    def suggest(self, evidence: Iterable[Evidence]) -> list[str]:
        """One or two texts: for the newest sign first, then for another kind of sign if there is one."""
        sign_keys = list(dict.fromkeys(_sign_key(sign) for sign in select_signs(evidence)))
        matching = [
            [o.text for o in self.opening if o.sign_key == sign_key] for sign_key in [*sign_keys, (_ANY, None, None)]
        ]
        ranked = sorted(((rank, text) for texts in matching for rank, text in enumerate(texts)), key=lambda r: r[0])
        suggestions = [text for _, text in ranked if text not in matching[-1]] or matching[-1]
        return suggestions[:MAX_SUGGESTIONS]


def load_catalogue(path: Path) -> Catalogue:
    """The catalogue in a file. Raises ValueError that says what is wrong."""
    return Catalogue.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


def _all_sign_keys() -> Iterator[tuple[str, Element | None, Rater | None]]:
    for detector in (*KNOWN_DETECTORS - {"element_drop", "told_directly"}, _ANY):
        yield detector, None, None
    for element in get_args(Element):
        yield "element_drop", element, None
        yield "at_floor", element, None
    for rater in get_args(Rater):
        yield "told_directly", None, rater


def _sign_key(sign: Evidence) -> tuple[str, Element | None, Rater | None]:
    """The key that an opening must have to fit this sign."""
    if sign.detector == "told_directly":
        return sign.detector, None, reporter(sign)
    return sign.detector, sign.element, None


CATALOGUE = load_catalogue(Path(__file__).with_name("openings.toml"))
"""The catalogue that comes with the program."""
