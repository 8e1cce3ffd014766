"""Writes the report: the results in words, tables and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation import clinic_tables, plots, tables, trajectories
from evaluation.attune import CONCERN, FLOOR_ELEMENT, FLOOR_TOTAL, SHIPPED_BASE_RATE, URGENT
from evaluation.measured import Measured, Results, mean, share_of
from evaluation.oracle_bars import URGENT_BASE_RATE, URGENT_PRECISION
from evaluation.oracles import ORACLE, ORACLE_OF_CLIENT, ORACLE_WITH_BEHAVIOUR
from evaluation.posteriors import CONSIDERED
from evaluation.published import Comparison
from evaluation.reliability import MIN_BIN_APPOINTMENTS
from evaluation.settings import ASKED_LAWS, UNASKED, RunSettings
from evaluation.simulation.generator import generate_ruptured
from evaluation.simulation.settings import SimulatedWorld, SimulationSettings
from evaluation.trial import ATTUNE, OTHER_BASE_RATE, asked

PICTURES_DIR = "evaluation"  # in the directory of the report
PICTURED_WORLD, PICTURED_FROM = "ordinal", 2000  # relationships among which there is one of each kind to show


@dataclass(frozen=True, slots=True)
class Report:
    """What the page is written from."""

    results: Results
    bars: Sequence[Measured]
    comparisons: Sequence[Comparison]
    declared_misses: dict[str, str]
    run: RunSettings
    simulation: SimulationSettings

    @property
    def sections(self) -> tuple[str, ...]:
        return (
            introduction(self.results),
            self._bars_section(),
            _methods_section(self.results, self.run),
            _worlds_section(self.results, self.run),
            _traits_section(self.results),
            _long_section(self.results),
            _calibration_section(self.results),
            _precision_section(self.results, self.run),
            self._published_section(),
            _assumptions_section(self.simulation),
        )

    def _bars_section(self) -> str:
        with_bar = [bar for bar in self.bars if bar.has_bar]
        missed = sum(not bar.is_met() for bar in with_bar)
        return f"""\
## Bars

{len(with_bar) - missed} of {len(with_bar)} bars are met. Intervals hold 95% of {self.run.resamples} bootstrap
resamples of the relationships, with new thresholds in each. A floor is met when the lower end of the interval
is at most 3 points below it, a ceiling when the upper end is at most 3 points above it. Ratios and Brier skills are met
by their value. Rows without a bar are for comparison.

The *oracle that knows everything* knows each rupture but not when it begins, which nothing real can. The *oracle of the
client* knows each client perfectly, but not the rupture. A bar is replaced only if that oracle may miss it itself.

{tables.replaced_bars(self.bars)}

{tables.bars_table(self.bars, self.declared_misses)}"""

    def _published_section(self) -> str:
        readings = {comparison.figure.name: comparison.figure.reading for comparison in self.comparisons}
        notes = "\n".join(f"- {name}: {reading}" for name, reading in readings.items())
        return f"""\
## Comparison with published figures

Each figure comes from a realistic mix of treatments of a world, a quarter of them with a rupture, by the rule of the
paper. The interval holds what 95% of studies of the published size would find there. A world *misses* a figure that
lies outside.

{clinic_tables.published_table(self.comparisons)}

{notes}"""


def write_report(report: Report, path: Path) -> None:
    """Write the report to `path`, and its pictures to a directory next to it."""
    pictures, trials = path.parent / PICTURES_DIR, report.results.trials
    pictures.mkdir(parents=True, exist_ok=True)
    plots.plot_by_method(trials, pictures / "methods.svg")
    plots.plot_by_budget(trials, pictures / "budgets.svg")
    plots.plot_by_kind(trials, pictures / "kinds.svg")
    plots.plot_reliability(report.results, pictures / "reliability.svg")
    pictured = report.simulation.world(PICTURED_WORLD).reported
    many = generate_ruptured(pictured, PICTURED_FROM, report.run.seed)
    trajectories.plot_trajectories(many, pictures / "trajectories.svg")
    path.write_text("\n\n".join(map(tables.wrap, report.sections)) + "\n", encoding="utf-8")


def of_hundred(share: float) -> str:
    return f"{100 * share:.0f} of 100"


def introduction(results: Results) -> str:
    """What was measured and on whom, what Attune finds and misses, how many alerts are right, what it cannot know."""
    trials = results.trials
    found, with_question, deep_found, oracle, of_client = (
        float(mean(trial.share_found(name, trial.is_whole if whole else None) for trial in trials)[0])
        for name, whole in (
            (ATTUNE, False),
            (asked(ATTUNE, ASKED_LAWS[0]), False),
            (ATTUNE, True),
            (ORACLE, True),
            (ORACLE_OF_CLIENT, True),
        )
    )
    right, right_asked, urgent_asked = (
        float(clinic_tables.precision_at(results, asking, severity, SHIPPED_BASE_RATE)[0])
        for asking, severity in ((UNASKED, CONCERN), (ASKED_LAWS[0], CONCERN), (ASKED_LAWS[0], URGENT))
    )
    count = sum(len(trial.samples.stable) + len(trial.samples.ruptured) for trial in trials)
    falsely = float(mean(trial.falsely_messaged(UNASKED) for trial in trials)[0])
    misses = "It misses more ruptures than it finds. " if found < 0.5 else ""
    return f"""\
<!-- Written by `python -m evaluation`; not by hand. -->
# How many ruptures Attune finds, how early, and at what cost

**Nothing here was measured on people.** It was measured on {count:,} simulated relationships in {len(trials)} invented
clinics. How their ruptures look was drawn from ranges, most of them assumptions. If one stable relationship in five may
be falsely alarmed in sixteen sessions, Attune finds {of_hundred(found)} ruptures within two sessions of their onset. It
finds {of_hundred(with_question)} if both people are also asked about tension and answer candidly. {misses}Of the
ruptures that lower all ratings it finds {of_hundred(deep_found)}. An oracle that knows everything about a client,
except whether and when a rupture begins, finds {of_hundred(oracle)} of these: more cannot be seen in ratings. One that
knows only the client, and not what the rupture looks like, finds {of_hundred(of_client)}. As it is shipped, Attune
alarms {of_hundred(falsely)} stable relationships falsely. Where {100 * SHIPPED_BASE_RATE:.0f} of 100 relationships have
a rupture, {of_hundred(right)} alerts are right, and {of_hundred(right_asked)} where the question is asked; of the
urgent ones among these, {of_hundred(urgent_asked)}. The other alerts are false. Attune cannot know why a rating fell,
what a missing form would have said, or what a client keeps silent. It shows signs. Only the two people can say
whether something is wrong."""


def _methods_section(results: Results, run: RunSettings) -> str:
    budget = tables.percent(run.false_alarm_budget)
    of_oracle, of_oracle_with_behaviour = (
        tables.with_interval(share_of(results.trials, ATTUNE, oracle, lambda trial: trial.is_whole))
        for oracle in (ORACLE, ORACLE_WITH_BEHAVIOUR)
    )
    return f"""\
## What each method finds

Every world has {run.relationships} stable relationships for the thresholds, {run.relationships} others and
{run.relationships} with a rupture, of 16 appointments. The thresholds allow an alarm in {budget} of stable
relationships of the same world with other settings; *false alarms* are those of unseen ones. *Found* means: an alarm
begins at the onset or at one of the next two sessions. *V, step, slide* are the ruptures that lower all ratings. The
*previous model* is the one of before this release, with its shipped prior. Averages over all worlds; in brackets, the
interval.

Of V, step and slide, Attune without the question finds {of_oracle} of what the oracle finds that knows everything about
the client's forms, and {of_oracle_with_behaviour} of what the oracle finds that also sees attendance, missing forms and
the clinician's ratings. The oracle of the client weighs {CONSIDERED} ruptures that are drawn in the same world, on the
first {run.oracle_relationships} relationships of each sample. More would make it a little better.

{tables.methods_table(results.trials)}

![Share found by method]({PICTURES_DIR}/methods.svg)

![Share found by budget]({PICTURES_DIR}/budgets.svg)"""


def _worlds_section(results: Results, run: RunSettings) -> str:
    return f"""\
## World by world

At the same false alarms. In the worlds without effects, a rupture changes nothing but the client's own ratings, so that
all other signals are noise.

V, step and slide:

{tables.worlds_table(results.trials, whole=True)}

All kinds:

{tables.worlds_table(results.trials, whole=False)}

What is really said with the shipped policy. *Answers at the floor*: stable relationships in which a client answers at
or below {FLOOR_TOTAL:.0f} of 100 as a whole, or {FLOOR_ELEMENT / 10:.0f} of 10 on an element, so that a message is sent
whatever is usual. *False*: stable relationships with any other message. *Ruptures*: with such a message within two
sessions. *At watch*: appointments of stable relationships after which an episode is only worth watching.

{tables.messages_table(results.trials)}

Policy adapted to {run.adaptation_history} relationships: false alarms in {run.adaptation_fresh:,} fresh stable ones:

{clinic_tables.adaptation_table(results.repeats)}"""


def _traits_section(results: Results) -> str:
    return f"""\
## By kind, depth, onset, missing forms and level

Ruptures found within two sessions at the same false alarms, of all worlds together and of all kinds unless the row
names some.

{tables.traits_table(results.trials)}

![Share found by kind]({PICTURES_DIR}/kinds.svg)

One relationship of each kind, as the service sees it: the client's ratings with the band in which four of five were
expected, the clinician's ratings, forms not submitted (dashes) and missed sessions (triangles). The time from the true
onset to the true end is shaded. Vertical lines are alerts, darker for a higher severity, dotted for an end. Their texts
are below each picture.

![One relationship of each kind]({PICTURES_DIR}/trajectories.svg)"""


def _long_section(results: Results) -> str:
    median, high = clinic_tables.state_bytes(results.long_runs)
    return f"""\
## In the long run

Weekly appointments over two years. False messages are those in stable relationships, per 100 appointments. *Stuck*: an
episode that began within four appointments after a lasting shift of the level is still open twelve weeks after it
began. Clients who answer at the floor after the shift do not count: there, an episode stays open on purpose. The
deep rupture follows 20 to 35 appointments after the shift; *without it* is the same relationship without the shift.

{clinic_tables.long_table(results.long_runs)}

Episodes of concern in two years in which everything happens: ruptures, level shifts, another clinician, another form,
another language, breaks, and gaps of the scheduling source. *Too early*: it ended as repaired, and the rupture went on.

{clinic_tables.episodes_table(results.long_runs)}

The stored state of a relationship has {median:,.0f} bytes in the median and {high:,.0f} at the 99th percentile, over
all events of these histories."""


def _calibration_section(results: Results) -> str:
    return f"""\
## Calibration

The probability after each appointment against whether there is a rupture then, of stable and ruptured relationships
mixed at the base rate. Each cell has the Brier skill (0 is as good as always saying the share, 1 is perfect) and, if a
tenth above .5 has {MIN_BIN_APPOINTMENTS} appointments or more, the largest distance of what was said there from what
was so. Offset and slope are what a logistic recalibration of all worlds together suggests: 0 and 1 if nothing has to
change. At a base rate of {100 * OTHER_BASE_RATE:.0f}%, and of the oracles, fewer relationships are counted. The
oracles' skills are those of exact probabilities, from all that Attune sees.

{clinic_tables.calibration_table(results)}

All worlds together at the shipped base rate, in each tenth:

{clinic_tables.reliability_table(results)}

![What is said and what is so, world by world]({PICTURES_DIR}/reliability.svg)"""


def _precision_section(results: Results, run: RunSettings) -> str:
    return f"""\
## How many alerts are right

An alert is right if there is a rupture at that appointment, or was one at the two before. The columns are for base
rates of relationships with a rupture in sixteen sessions; *a week* is the number of alerts of one clinician with
{run.caseload} clients who each come once a week. Averages over all worlds, with the shipped policy.

{clinic_tables.precision_table(results, run)}

Urgent alerts at a base rate of {100 * URGENT_BASE_RATE:.0f}%, with the question: how many are right, and how many
ruptures of three spreads or more that lower ratings are urgent within two sessions. The oracle of the client alerts
from the lowest probability at which {100 * URGENT_PRECISION:.0f}% of its alerts are right. Below, what other thresholds
of Attune would give.

{clinic_tables.urgent_table(results)}"""


def _assumptions_section(simulation: SimulationSettings) -> str:
    world: SimulatedWorld = simulation.worlds[0]
    settings, effects = world.reported.ruptures, world.reported.effects
    lookalikes = world.reported.lookalikes
    shares = (getattr(lookalikes, name) for name in ("always_low", "noisy", "bad_day", "holiday", "low_from_start"))
    laws = "\n".join(
        f"- {law.capitalize()} answers: in a rupture, {_range(of_law.reported)} of a client's forms report tension, "
        f"else {_range(of_law.reported_falsely)}; "
        f"{tables.percent(of_law.habitual_share)} of clients nearly always answer yes."
        for law, of_law in simulation.question.items()
    )
    return f"""\
## Assumptions

The simulation imports nothing of the detector. Every value, with its source if it has one, is in
`evaluation/simulation/worlds.toml`. The most important ones:

- Ruptures are {settings.depth[0]} to {settings.depth[1]} spreads deep, uniformly distributed.
- In a rupture, a form is {effects.missing_factor[0]:.0f} to {effects.missing_factor[1]:.0f} times as likely to be
  missing, and an appointment {effects.absence_factor[0]:.0f} to {effects.absence_factor[1]:.0f} times as likely to be
  missed. {tables.percent(effects.none_share)} of ruptures have no such effect.
- A clinician notices {_range(effects.clinician_awareness)} of the ruptures.
{laws}
- Of the stable relationships, {tables.percent(sum(shares))} look alarming: always low, noisy, with one bad day, with a
  holiday, or low from the start."""


def _range(bounds: tuple[float, float]) -> str:
    return f"{100 * bounds[0]:.0f} to {100 * bounds[1]:.0f}%"
