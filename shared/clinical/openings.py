"""Suggestions for beginning a conversation about the signs: the catalogue `openings.toml`, and what fits which sign."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Self, TypeAlias, get_args

from pydantic import ConfigDict, Field, model_validator

from shared.clinical.absences import WithdrawalKind, withdrawal_kinds
from shared.clinical.signs import KNOWN_DETECTORS, reporter, select_signs
from shared.events import Element, Evidence, Rater
from shared.runtime.model import Model

MAX_SUGGESTIONS = 2  # offered at a time: one to use, and one alternative

_ANY = "any"

SignKey: TypeAlias = tuple[str, Element | Rater | WithdrawalKind | None]
"""The detector, and what else the sign must be about."""


class Opening(Model):
    """Something that a clinician can say as it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str
    element: Element | None = None
    reporter: Rater | None = None
    kind: WithdrawalKind | None = None
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
        if (self.kind is not None) != (self.detector == "withdrawal"):
            raise ValueError("a kind is required for the detector withdrawal, and allowed for no other")
        return self

    @property
    def sign_key(self) -> SignKey:
        """The signs that it fits."""
        return self.detector, self.element or self.reporter or self.kind


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
        sign_keys = list(dict.fromkeys(key for sign in select_signs(evidence) for key in _sign_keys(sign)))
        matching = [[o.text for o in self.opening if o.sign_key == sign_key] for sign_key in [*sign_keys, (_ANY, None)]]
        ranked = sorted(((rank, text) for texts in matching for rank, text in enumerate(texts)), key=lambda r: r[0])
        suggestions = [text for _, text in ranked if text not in matching[-1]] or matching[-1]
        return suggestions[:MAX_SUGGESTIONS]


def load_catalogue(path: Path) -> Catalogue:
    """The catalogue in a file. Raises ValueError that says what is wrong."""
    return Catalogue.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


def _all_sign_keys() -> Iterator[SignKey]:
    for detector in (*KNOWN_DETECTORS - {"element_drop", "told_directly", "withdrawal"}, _ANY):
        yield detector, None
    for element in get_args(Element):
        yield "element_drop", element
        yield "at_floor", element
    for rater in get_args(Rater):
        yield "told_directly", rater
    for kind in get_args(WithdrawalKind):
        yield "withdrawal", kind


def _sign_keys(sign: Evidence) -> Iterator[SignKey]:
    """The keys of which an opening must have one to fit this sign."""
    if sign.detector == "told_directly":
        yield sign.detector, reporter(sign)
    elif sign.detector == "withdrawal":
        yield from ((sign.detector, kind) for kind in withdrawal_kinds(sign))
    else:
        yield sign.detector, sign.element


CATALOGUE = load_catalogue(Path(__file__).with_name("openings.toml"))
"""The catalogue that comes with the program."""
