"""How clients and clinicians answer the direct question: was there a moment of tension, and was it talked about?

Each law answers for the same relationships: only these answers differ.
"""

from dataclasses import replace

import numpy as np

from evaluation.simulation.settings import QuestionLaw, QuestionSettings, Range
from evaluation.simulation.truth import (
    A_LITTLE,
    FULLY,
    NONE,
    NOT,
    NOT_ANSWERED,
    PARTLY,
    YES,
    BoolArray,
    FloatArray,
    IntArray,
    Relationships,
)


def ask_nothing(relationships: Relationships) -> Relationships:
    """The same relationships in a clinic that does not ask the question."""
    nothing = np.full_like(relationships.observations.tension, NOT_ANSWERED)
    observations = replace(
        relationships.observations,
        tension=nothing,
        talked_about=nothing,
        clinician_tension=nothing,
        clinician_talked_about=nothing,
    )
    return replace(relationships, observations=observations)


def ask(
    relationships: Relationships, settings: dict[QuestionLaw, QuestionSettings], law: QuestionLaw, seed: int
) -> Relationships:
    """The same relationships with the question answered under `law`; clinicians are candid about what they notice."""
    truth, clients, rng, own = (
        relationships.truth,
        relationships.truth.clients,
        np.random.default_rng(seed),
        settings[law],
    )
    in_rupture, number = truth.in_rupture, np.maximum(truth.course.number, 0)
    is_seen = in_rupture & np.take_along_axis(truth.ruptures.is_seen, number, axis=1)
    rate = _report_rate(own.reported, own.reported_falsely, clients.candour, clients.false_candour, in_rupture)
    is_habitual = (clients.habit < own.habitual_share)[:, None]
    rate = np.where(is_habitual, own.habitual_rate, rate)
    tension, talked_about = _sample_answers(own, rate, in_rupture, is_habitual, rng)
    candid, positions = settings["candid"], (clients.clinician_candour, clients.clinician_false_candour)
    clinician_rate = _report_rate(candid.reported, candid.reported_falsely, *positions, is_seen)
    clinician_tension, clinician_talked_about = _sample_answers(
        candid, clinician_rate, is_seen, np.zeros_like(is_habitual), rng
    )
    answered = relationships.observations.answered
    clinician_answered = ~np.isnan(relationships.observations.clinician_total)
    observations = replace(
        relationships.observations,
        tension=np.where(answered, tension, NOT_ANSWERED),
        talked_about=np.where(answered, talked_about, NOT_ANSWERED),
        clinician_tension=np.where(clinician_answered, clinician_tension, NOT_ANSWERED),
        clinician_talked_about=np.where(clinician_answered, clinician_talked_about, NOT_ANSWERED),
    )
    return replace(relationships, observations=observations)


def _report_rate(
    reported: Range, falsely: Range, candour: FloatArray, false_candour: FloatArray, in_rupture: BoolArray
) -> FloatArray:
    """The share of forms that report tension, at each appointment."""
    in_truth = (reported[0] + candour * (reported[1] - reported[0]))[:, None]
    otherwise = (falsely[0] + false_candour * (falsely[1] - falsely[0]))[:, None]
    return np.where(in_rupture, in_truth, otherwise)


def _sample_answers(
    law: QuestionSettings, rate: FloatArray, in_rupture: BoolArray, is_habitual: BoolArray, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    shape = rate.shape
    is_reported = rng.random(shape) < rate
    says_yes = is_habitual | (rng.random(shape) < np.where(in_rupture, law.yes_share_in_rupture, law.yes_share_false))
    tension = np.where(is_reported, np.where(says_yes, YES, A_LITTLE), NONE)
    position, is_open = rng.random(shape), rng.random(shape) < law.open_share
    not_share, partly_share = (
        np.where(in_rupture, law.talked_about_in_rupture[index], law.talked_about_false[index]) for index in (0, 1)
    )
    talked = np.where(position < not_share, NOT, np.where(position < not_share + partly_share, PARTLY, FULLY))
    return tension, np.where(is_reported & ~is_open, talked, NOT_ANSWERED)
