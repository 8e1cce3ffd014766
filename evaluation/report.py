"""Writes the report: the results in words, tables and pictures."""

from collections.abc import Sequence
from pathlib import Path

from evaluation import plots, tables, trajectories
from evaluation.criteria import CriterionResult, average_share
from evaluation.settings import EvaluationSettings, RunSettings
from evaluation.tables import percent
from evaluation.trial import ALL, DIRECT, ORACLE, OWN_MEAN, TOTAL, WorldResult

PICTURES_DIR = "evaluation"  # in the directory of the report


def write_report(
    results: list[WorldResult],
    criteria: Sequence[CriterionResult],
    evaluation: EvaluationSettings,
    count: int,
    path: Path,
) -> None:
    """Write the report to `path`, and its pictures to a directory next to it."""
    pictures = path.parent / PICTURES_DIR
    pictures.mkdir(parents=True, exist_ok=True)
    counting_results = [result for result in results if result.world.counts_for_criteria]
    plots.plot_by_method(counting_results, pictures / "methods.svg")
    plots.plot_by_budget(counting_results, pictures / "budgets.svg")
    plots.plot_by_kind(counting_results, pictures / "kinds.svg")
    ordinal = next(result for result in results if result.world.name == "ordinal")
    trajectories.plot_trajectories(ordinal.samples.ruptured, pictures / "trajectories.svg")
    sections = (
        _introduction(counting_results),
        _criteria_section(criteria, evaluation, len(counting_results), count),
        _methods_section(results, evaluation.run),
        _worlds_section(results, len(counting_results)),
        _traits_section(results),
        _TRAJECTORIES_SECTION,
        _assumptions_section(evaluation),
    )
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _introduction(counting_results: list[WorldResult]) -> str:
    found = {
        method: percent(average_share(counting_results, method, only_total_visible=True)[0])
        for method in (ORACLE, OWN_MEAN, TOTAL, ALL, DIRECT)
    }
    return f"""\
<!-- Written by `python -m evaluation`; not by hand. -->
# How many ruptures Attune finds, how early, and at what cost

**The limit of ratings.** An oracle knows a relationship's true course and spread, which no real method can. Within
two sessions it finds {found[ORACLE]} of the ruptures that lower all ratings, if one stable relationship in five may
have a false alarm in sixteen sessions. A faint rupture is as small as an ordinary bad day, and a form that was not
submitted shows nothing. Attune finds {found[TOTAL]} from the client's total alone. It finds {found[ALL]} with the
elements, the clinician's ratings, missing forms and attendance, and {found[DIRECT]} if client and clinician are also
asked directly. It misses more ruptures than it finds, and a withdrawal that does not change the ratings is nearly
invisible. So Attune says "shows signs of", never "detected". Nothing here was measured on people: the relationships are
simulated, with the sourced and assumed parameters of `evaluation/worlds.toml`."""


def _criteria_section(
    criteria: Sequence[CriterionResult], evaluation: EvaluationSettings, worlds: int, count: int
) -> str:
    return f"""\
## Criteria

The values are averages over {worlds} worlds, each with {count} relationships for tuning, {count} stable ones and
{count} with a rupture. Every threshold and prior was made from other relationships, in a world with other settings. The
truth is the latent process. Intervals, and the ranges in brackets, hold 95% of the bootstrap resamples and include the
uncertainty of the threshold.

{tables.criteria_table(criteria, evaluation.declared_misses)}"""


def _methods_section(results: list[WorldResult], run: RunSettings) -> str:
    budget = percent(run.false_alarm_budget)
    return f"""\
## What each method finds and costs

The thresholds allow false alarms in {budget} of stable relationships in {run.sessions} sessions.
An alarm counts only where it begins. *V, step, slide* are the ruptures that lower all ratings, found within two
sessions after the onset. *Precision* and *alerts per week* are for a caseload of {run.caseload} relationships,
{percent(run.rupture_base_rate)} of them with one rupture. The last column is V, step and slide within two sessions,
with thresholds that allow {run.false_onset_budget_percent} false onsets per 100 stable sessions.

{tables.methods_table(results, run)}

![Share found by method]({PICTURES_DIR}/methods.svg)

![Share found by budget]({PICTURES_DIR}/budgets.svg)"""


def _worlds_section(results: list[WorldResult], worlds: int) -> str:
    return f"""\
## World by world

V, step and slide found within two sessions; in brackets, the percentage of unseen stable relationships with a false
alarm. The first {worlds} worlds count for the criteria. In the last world neither missing forms nor the clinician
carry any information, so using them costs.

{tables.worlds_table(results)}

The resulting thresholds on the probability of a rupture:

{tables.thresholds_table(results)}"""


def _traits_section(results: list[WorldResult]) -> str:
    return f"""\
## By kind, depth, onset, missing forms and level

Ruptures found within two sessions over the worlds that count, of all kinds unless the row names some.

{tables.traits_table(results)}

![Share found by kind]({PICTURES_DIR}/kinds.svg)"""


_TRAJECTORIES_SECTION = f"""\
## One relationship of each kind

As the service sees it: the client's ratings with the band in which four of five were expected, the clinician's
ratings, forms not submitted (dashes) and missed sessions (triangles). The time from the true onset to the true end is
shaded. Vertical lines are alerts, darker for a higher severity, dotted for a repair. Their texts are below each
picture.

![One relationship of each kind]({PICTURES_DIR}/trajectories.svg)"""


def _assumptions_section(evaluation: EvaluationSettings) -> str:
    world = evaluation.worlds[0].reported
    depth, lookalikes = world.ruptures.depth, world.lookalikes
    alarming = percent(sum((lookalikes.always_low, lookalikes.noisy, lookalikes.bad_day, lookalikes.holiday)))
    return f"""\
## Assumptions

- In a rupture, the client reports tension in two of five sessions. The clinician notices half of the ruptures, and
  reports tension in four of five sessions of those. Without a rupture, one answer in twenty reports tension.
- In a rupture, a form is twice as likely to be missing, and a session twice as likely to be missed.
- Ruptures are {depth[0]} to {depth[1]} spreads deep, uniformly distributed. Every other value, with its source if it
  has one, is in `evaluation/worlds.toml`.
- A stable relationship has all sessions. Of the stable relationships, {alarming} look alarming: always low, noisy,
  with one bad day, or with a holiday."""
