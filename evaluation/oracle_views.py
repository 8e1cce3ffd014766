"""What the oracles say about relationships, with and without the question, computed in processes."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np

from evaluation.attune import PROCESSES
from evaluation.oracles import ORACLE_OF_CLIENT, ORACLE_OF_CLIENT_WITH_BEHAVIOUR, ORACLE_WITH_BEHAVIOUR
from evaluation.posteriors import Evidence, onset_shares, own_rupture, sample_considered
from evaluation.settings import UNASKED
from evaluation.simulation.question import log_ratios_of_answers
from evaluation.simulation.settings import QuestionLaw, QuestionSettings, WorldSettings
from evaluation.simulation.truth import ENDED, EXCUSED, FloatArray, Relationships

ROWS_PER_TASK = 25  # bounds the memory

_Answers = dict[str, tuple[FloatArray, FloatArray]]
"""By the asking: the log likelihood ratios of the client's and of the clinician's answers."""


@dataclass(frozen=True, slots=True)
class OracleViews:
    scores: dict[tuple[str, str], FloatArray]
    """By the oracle and the asking; NaN where nothing was observed."""
    posteriors: dict[tuple[str, str, float], FloatArray]
    """By the oracle, the asking and the base rate."""


def view_all(
    askings: Mapping[str, Relationships],
    world: WorldSettings,
    question: Mapping[QuestionLaw, QuestionSettings],
    base_rates: Sequence[float],
    seed: int,
) -> OracleViews:
    """View the same relationships under each asking."""
    whole = askings[UNASKED]
    nothing = np.zeros(whole.observations.total.shape)
    answers = {UNASKED: (nothing, nothing)} | {
        law: log_ratios_of_answers(askings[law], dict(question), law) for law in question if law in askings
    }
    parts = [slice(start, start + ROWS_PER_TASK) for start in range(0, len(whole), ROWS_PER_TASK)]
    view = partial(_view_rows, world=world, base_rates=base_rates)
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("fork")) as pool:
        views = list(
            pool.map(
                view,
                [whole.select(part) for part in parts],
                [{name: (of[0][part], of[1][part]) for name, of in answers.items()} for part in parts],
                [[seed, part.start] for part in parts],
            )
        )
    return OracleViews(
        {key: np.concatenate([view.scores[key] for view in views]) for key in views[0].scores},
        {key: np.concatenate([view.posteriors[key] for view in views]) for key in views[0].posteriors},
    )


def _view_rows(
    relationships: Relationships,
    answers: _Answers,
    seed: Sequence[int],
    world: WorldSettings,
    base_rates: Sequence[float],
) -> OracleViews:
    observed, appointments = relationships.observations, relationships.observations.total.shape[1]
    considered = sample_considered(world, relationships.truth.clients, appointments, np.random.default_rng(seed))
    of_forms = Evidence.weigh(relationships, world, *considered, with_behaviour=False).score()
    scores = {(ORACLE_OF_CLIENT, UNASKED): np.where(observed.answered, of_forms, np.nan)}
    posteriors, shares = dict[tuple[str, str, float], FloatArray](), onset_shares(world, appointments)
    is_new = ~np.isin(observed.appointment, (EXCUSED, ENDED))
    for oracle, (ruptures, likely) in (
        (ORACLE_WITH_BEHAVIOUR, own_rupture(relationships)),
        (ORACLE_OF_CLIENT_WITH_BEHAVIOUR, considered),
    ):
        evidence = Evidence.weigh(relationships, world, ruptures, likely, with_behaviour=True)
        for asking, of_answers in answers.items():
            with_answers = evidence.with_answers(*of_answers, ruptures.is_seen)
            scores[oracle, asking] = np.where(is_new, with_answers.score(), np.nan)
            for base_rate in base_rates:
                posteriors[oracle, asking, base_rate] = with_answers.posterior(shares, base_rate)
    return OracleViews(scores, posteriors)
