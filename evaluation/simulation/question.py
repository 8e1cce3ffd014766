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
    rng, own, candid = np.random.default_rng(seed), settings[law], settings["candid"]
    in_rupture, number = relationships.truth.in_rupture, np.maximum(relationships.truth.course.number, 0)
    is_seen = in_rupture & np.take_along_axis(relationships.truth.ruptures.is_seen, number, axis=1)
    is_habitual = _is_habitual(relationships, own)
    rate = _client_rate(relationships, own, in_rupture)
    tension, talked_about = _sample_answers(own, rate, in_rupture, is_habitual, rng)
    clinician_rate = _clinician_rate(relationships, candid, is_seen)
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


def log_ratios_of_answers(
    relationships: Relationships, settings: dict[QuestionLaw, QuestionSettings], law: QuestionLaw
) -> tuple[FloatArray, FloatArray]:
    """How much likelier the client's and the clinician's answers are in a rupture that both notice than without one.

    Logarithms of ratios, at each appointment; 0 where nothing was answered. The mirror image of `ask`.
    """
    observations, own, candid = relationships.observations, settings[law], settings["candid"]
    is_habitual, ratios = _is_habitual(relationships, own), list[FloatArray]()
    for of_law, rate_of, habitual, tension, talked_about in (
        (own, _client_rate, is_habitual, observations.tension, observations.talked_about),
        (
            candid,
            _clinician_rate,
            np.zeros_like(is_habitual),
            observations.clinician_tension,
            observations.clinician_talked_about,
        ),
    ):
        in_rupture, otherwise = (
            _answer_probability(
                of_law, rate_of(relationships, of_law, present), present, habitual, tension, talked_about
            )
            for present in (np.ones_like(tension, bool), np.zeros_like(tension, bool))
        )
        ratios.append(np.log(in_rupture) - np.log(otherwise))
    return ratios[0], ratios[1]


def _is_habitual(relationships: Relationships, law: QuestionSettings) -> BoolArray:
    return np.asarray((relationships.truth.clients.habit < law.habitual_share)[:, None])


def _client_rate(relationships: Relationships, law: QuestionSettings, in_rupture: BoolArray) -> FloatArray:
    clients = relationships.truth.clients
    rate = _report_rate(law.reported, law.reported_falsely, clients.candour, clients.false_candour, in_rupture)
    return np.where(_is_habitual(relationships, law), law.habitual_rate, rate)


def _clinician_rate(relationships: Relationships, law: QuestionSettings, is_seen: BoolArray) -> FloatArray:
    clients = relationships.truth.clients
    positions = clients.clinician_candour, clients.clinician_false_candour
    return _report_rate(law.reported, law.reported_falsely, *positions, is_seen)


def _answer_probability(
    law: QuestionSettings,
    rate: FloatArray,
    in_rupture: BoolArray,
    is_habitual: BoolArray,
    tension: IntArray,
    talked_about: IntArray,
) -> FloatArray:
    """How likely both answers are; 1 where nothing was answered."""
    yes = np.where(is_habitual, 1.0, np.where(in_rupture, law.yes_share_in_rupture, law.yes_share_false))
    of_talk = np.where(in_rupture[..., None], law.talked_about_in_rupture, law.talked_about_false)
    of_answer = np.take_along_axis(of_talk, np.maximum(talked_about, 0)[..., None], axis=-1)[..., 0]
    of_report = np.where(talked_about == NOT_ANSWERED, law.open_share, (1 - law.open_share) * of_answer)
    reported = rate * np.where(tension == YES, yes, 1 - yes) * of_report
    return np.select([tension == NOT_ANSWERED, tension == NONE], [np.ones_like(rate), 1 - rate], reported)


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
