"""The report: what was found, in words, tables and pictures."""

from collections.abc import Sequence
from pathlib import Path

from evaluation import plots, tables, trajectories
from evaluation.criteria import CriterionResult, average_share
from evaluation.settings import EvaluationSettings
from evaluation.tables import percent
from evaluation.trial import ALL, DIRECT, ORACLE, OWN_MEAN, TOTAL, WorldResult

PICTURES_DIR = "evaluation"  # beside the report


def write_report(
    results: list[WorldResult],
    criteria: Sequence[CriterionResult],
    evaluation: EvaluationSettings,
    count: int,
    path: Path,
) -> None:
    """Write the report to `path` and its pictures beside it."""
    pictures = path.parent / PICTURES_DIR
    pictures.mkdir(parents=True, exist_ok=True)
    counting_results = [result for result in results if result.world.counts_for_criteria]
    plots.plot_by_method(counting_results, pictures / "methods.svg")
    plots.plot_by_budget(counting_results, pictures / "budgets.svg")
    plots.plot_by_kind(counting_results, pictures / "kinds.svg")
    ordinal = next(result for result in results if result.world.name == "ordinal")
    trajectories.plot_trajectories(ordinal.samples.ruptured, pictures / "trajectories.svg")
    path.write_text(_render(results, counting_results, criteria, evaluation, count), encoding="utf-8")


def _render(
    results: list[WorldResult],
    counting_results: list[WorldResult],
    criteria: Sequence[CriterionResult],
    evaluation: EvaluationSettings,
    count: int,
) -> str:
    run = evaluation.run
    percent_found = {
        method: percent(average_share(counting_results, method, only_total_visible=True)[0])
        for method in (ORACLE, OWN_MEAN, TOTAL, ALL, DIRECT)
    }
    return f"""<!-- Written by `python -m evaluation`; not by hand. -->
# How many ruptures are seen, how early, and at what cost

**What ratings cannot see.** An oracle that knows a relationship's true course and spread, which nobody can, finds
{percent_found[ORACLE]} of the ruptures that move all ratings within two sessions, when one stable relationship in five may
be falsely alarmed in sixteen sessions: a faint rupture is as large as an ordinary bad day, and a form that was not
given back shows nothing. Attune finds {percent_found[TOTAL]} from the client's total alone, {percent_found[ALL]} with the elements,
the clinician's side, silence and attendance, and {percent_found[DIRECT]} where both are asked directly. It misses more
ruptures than it sees, and a withdrawal that leaves the ratings as they were is nearly invisible. It says "shows signs
of", never "detected"; and nothing here was measured on people: the relationships are simulated, with the sourced
and assumed parameters of `evaluation/worlds.toml`.

## What had to be reached

Averages over {len(counting_results)} worlds with {count} relationships for each of tuning, stable and ruptured. Every threshold
and prior was made from other relationships, in a world with other settings; the truth is the latent process. In
brackets or after "interval": nineteen of twenty bootstrap resamples, the threshold's own uncertainty included.

{tables.criteria_table(criteria, evaluation.declared_misses)}

## What each method finds and costs

At {percent(run.false_alarm_budget)} of stable relationships with any false alarm in {run.sessions} sessions; an alarm counts only
where it begins. *V, step, slide* within two sessions after the onset; *precision* and *alerts a week* for a caseload
of {run.caseload} in which {percent(run.rupture_base_rate)} have one rupture; the last column at {run.false_onset_budget_percent} false onsets
per 100 stable sessions, V, step and slide within two sessions.

{tables.methods_table(results, run)}

![Share found by method]({PICTURES_DIR}/methods.svg)

![Share found by budget]({PICTURES_DIR}/budgets.svg)

## World by world

V, step and slide found within two sessions, in brackets the share of unseen stable relationships falsely alarmed, in
percent. The first {len(counting_results)} count for the bars. Where neither silence nor the clinician says anything, listening
to them costs: that is the last world.

{tables.worlds_table(results)}

The threshold on our belief that there is a rupture, as it came out:

{tables.thresholds_table(results)}

## By kind, depth, onset, missing forms and level

Found within two sessions, of all kinds where nothing else is said, over the worlds that count.

{tables.traits_table(results)}

![Share found by kind]({PICTURES_DIR}/kinds.svg)

## One relationship of each kind

As the service sees it: the client's ratings and the band in which four of five were expected, the clinician's, forms
not given back (dashes) and sessions missed (triangles); shaded from the true onset to the true end, and below each
picture what was told, darker lines for more concern, dotted ones for repair.

![One relationship of each kind]({PICTURES_DIR}/trajectories.svg)

## Assumptions

- A rupture is told of in two of five sessions by the client, and by the clinician in four of five of those that the
  clinician sees, which are half; one answer in twenty tells of a tension where there is no rupture.
- A form is twice as likely to be missing, and a session to be missed, in a rupture.
- Ruptures are {evaluation.worlds[0].reported.ruptures.depth[0]} to {evaluation.worlds[0].reported.ruptures.depth[1]}
  spreads deep, uniformly. Every other value, with its source where there is one, is in `evaluation/worlds.toml`.
- A stable relationship is followed for all sessions; {percent(sum(_lookalike_shares(evaluation)))} of them look alarming: always
  low, noisy, with one bad day, or with a holiday.
"""


def _lookalike_shares(evaluation: EvaluationSettings) -> list[float]:
    lookalikes = evaluation.worlds[0].reported.lookalikes
    return [lookalikes.always_low, lookalikes.noisy, lookalikes.bad_day, lookalikes.holiday]
