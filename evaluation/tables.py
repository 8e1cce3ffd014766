"""What each method finds, as tables in Markdown."""

import re
from collections.abc import Iterable, Sequence
from textwrap import fill

import numpy as np

from evaluation.attune import WATCH, is_at_floor
from evaluation.measured import Measured, mean, of_asking
from evaluation.measures import Estimate, interval
from evaluation.methods import METHODS, OWN_MEAN
from evaluation.oracles import (
    ORACLE,
    ORACLE_OF_CLIENT,
    ORACLE_OF_CLIENT_WITH_BEHAVIOUR,
    ORACLE_OF_PERSON,
    ORACLE_WITH_BEHAVIOUR,
)
from evaluation.settings import ASKED_LAWS, ASKINGS, UNASKED
from evaluation.simulation.settings import KINDS
from evaluation.simulation.truth import ENDED, BoolArray, FloatArray
from evaluation.trial import (
    ATTUNE,
    PREVIOUS,
    WorldTrial,
    asked,
)

LINE_LENGTH = 120
CANDID = asked(ATTUNE, ASKED_LAWS[0])
SHOWN_METHODS = (ORACLE, ORACLE_OF_CLIENT, OWN_MEAN, PREVIOUS, ATTUNE, CANDID)
"""The methods that the detailed tables and pictures show."""
WORLD_METHODS = (ORACLE_WITH_BEHAVIOUR, ORACLE_OF_CLIENT_WITH_BEHAVIOUR, *SHOWN_METHODS)
ALL_METHODS = (
    ORACLE_WITH_BEHAVIOUR,
    ORACLE,
    *(asked(ORACLE_OF_CLIENT_WITH_BEHAVIOUR, asking) for asking in ASKINGS),
    ORACLE_OF_CLIENT,
    ORACLE_OF_PERSON,
    *METHODS,
    *(asked(name, asking) for name in (PREVIOUS, ATTUNE) for asking in ASKINGS),
)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def wrap(text: str) -> str:
    """The same text with lines of the usual length; tables stay as they are."""
    return "\n\n".join(_wrap_block(block) for block in text.split("\n\n"))


def _wrap_block(block: str) -> str:
    if block.startswith(("|", "#", "<", "!")):
        return block
    items = re.split(r"\n(?=- )", block)
    indents = ("  " if item.startswith("- ") else "" for item in items)
    return "\n".join(
        fill(" ".join(item.split()), LINE_LENGTH, subsequent_indent=indent, break_on_hyphens=False)
        for item, indent in zip(items, indents, strict=True)
    )


def percent(share: float) -> str:
    return "" if np.isnan(share) else f"{100 * share:.0f}%"


def with_interval(estimate: Estimate) -> str:
    low, high = interval(estimate)
    return "" if np.isnan(estimate[0]) else f"{percent(float(estimate[0]))} ({100 * low:.0f}–{100 * high:.0f})"


def bars_table(bars: Sequence[Measured], declared_misses: dict[str, str], is_short: bool = False) -> str:
    """Every bar with its value, its interval, and whether it is met."""
    return markdown_table(
        ["what", "bar", "value", "interval", "met"],
        [_bar_row(measured, declared_misses, is_short) for measured in bars],
    )


def replaced_bars(bars: Sequence[Measured]) -> str:
    """Which bars were replaced, by what, and why."""
    replaced = "\n".join(f"- {bar.replaced}" for bar in bars if bar.replaced)
    return f"Replaced:\n\n{replaced}" if replaced else "No bar was replaced: the oracle of the client reaches each."


def _bar_row(measured: Measured, declared_misses: dict[str, str], is_short: bool) -> list[str]:
    statement = measured.statement + (f" ({measured.note})" if measured.note else "")
    low, high = measured.interval
    met = "yes" if measured.is_met(is_short) else "no: " + declared_misses.get(measured.key, "**not declared**")
    met = met if measured.has_bar else "–"
    value, span = format_value(measured, measured.value), f"{format_value(measured, low)} to "
    return [statement, _limit(measured), value, span + format_value(measured, high), met]


def format_value(measured: Measured, value: float) -> str:
    match measured.unit:
        case "%":
            return f"{100 * value:.1f}%"
        case "points":
            return f"{100 * value:+.1f} points"
        case _:
            return f"{value:.2f}"


def _limit(measured: Measured) -> str:
    if not measured.has_bar:
        return "for comparison"
    floor, ceiling = (format_value(measured, limit) for limit in (measured.floor, measured.ceiling))
    if np.isinf(measured.ceiling):
        return f"at least {floor}"
    return f"at most {ceiling}" if np.isinf(measured.floor) else f"{floor} to {ceiling}"


def methods_table(trials: Sequence[WorldTrial]) -> str:
    """What each method finds at the same false alarms, averaged over all worlds."""
    header = ["method", "V, step, slide", "all kinds", "at once", "within 1", "within 2", "within 3", "false alarms"]
    return markdown_table(header, [_method_row(name, trials) for name in ALL_METHODS])


def _method_row(name: str, trials: Sequence[WorldTrial]) -> list[str]:
    outcomes = [trial.outcomes[name] for trial in trials]
    by_delay = np.mean([[found.mean() for found in outcome.found_within] for outcome in outcomes], axis=0)
    return [
        name,
        with_interval(mean(trial.share_found(name, trial.is_whole) for trial in trials)),
        with_interval(mean(trial.share_found(name) for trial in trials)),
        *[percent(float(share)) for share in by_delay],
        percent(float(np.mean([outcome.falsely_alarmed.mean() for outcome in outcomes]))),
    ]


def worlds_table(trials: Sequence[WorldTrial], whole: bool) -> str:
    """What the shown methods find in each world: of V, step and slide, or of all kinds."""
    rows = [
        [
            _world_name(trial),
            *[percent(float(trial.share_found(name, trial.is_whole if whole else None)[0])) for name in WORLD_METHODS],
            with_interval(trial.share_found(ATTUNE) - trial.share_found(PREVIOUS)),
        ]
        for trial in trials
    ]
    gain = "all kinds, Attune less the previous model"
    return markdown_table(["world", *WORLD_METHODS, gain], rows)


def _world_name(trial: WorldTrial) -> str:
    return trial.world.title + ("" if trial.world.has_effects else " (without effects)")


def messages_table(trials: Sequence[WorldTrial]) -> str:
    """What Attune really says with its shipped policy, in each world."""
    rows = [
        [
            _world_name(trial),
            *[with_interval(trial.falsely_messaged(asking)) for asking in ASKINGS],
            percent(float(is_at_floor(trial.samples.stable).any(axis=1).mean())),
            *[percent(float(trial.share_messaged(asking)[0])) for asking in ASKINGS],
            *[percent(_share_at_watch(trial, asking)) for asking in (UNASKED, ASKED_LAWS[0])],
        ]
        for trial in trials
    ]
    names = [of_asking(asking) for asking in ASKINGS]
    header = ["world", *[f"false, {name}" for name in names], "answers at the floor"]
    header += [*[f"ruptures, {name}" for name in names], *[f"at watch, {name}" for name in names[:2]]]
    return markdown_table(header, rows)


def _share_at_watch(trial: WorldTrial, asking: str) -> float:
    """The share of appointments of stable relationships after which an episode is open and only worth watching."""
    severity = trial.messages[asking].stable.severity
    return float((severity == WATCH).sum() / (trial.samples.stable.observations.appointment != ENDED).sum())


def traits_table(trials: Sequence[WorldTrial]) -> str:
    """The ruptures found within two sessions, by traits of the rupture and the relationship, of all worlds together."""
    rows = []
    for label, groups in trait_groups(trials):
        size = sum(int(group.sum()) for group in groups)
        shares = [
            np.concatenate(
                [
                    trial.outcomes[name].found[0][group[trial.is_tried(name)]]
                    for trial, group in zip(trials, groups, strict=True)
                ]
            ).mean()
            for name in SHOWN_METHODS
            if size
        ]
        rows.append([label, str(size), *[percent(float(share)) for share in shares]])
    return markdown_table(["ruptures", "how many", *SHOWN_METHODS], rows)


def trait_groups(trials: Sequence[WorldTrial]) -> list[tuple[str, list[BoolArray]]]:
    """Each trait, and the ruptures that have it in each world."""
    truths = [trial.samples.ruptured.truth for trial in trials]
    whole = [trial.is_whole for trial in trials]
    groups: list[tuple[str, list[BoolArray]]] = [
        (kind, [truth.kind == index for truth in truths]) for index, kind in enumerate(KINDS)
    ]
    groups += [
        (label, [is_whole & _is_between(truth.depth, *bounds) for is_whole, truth in zip(whole, truths, strict=True)])
        for label, *bounds in (
            ("V, step or slide, faint: under 1.5 spreads", 0.0, 1.5),
            ("V, step or slide, middling: to 3", 1.5, 3.0),
            ("V, step or slide, deep: beyond", 3.0, 9.0),
        )
    ]
    for name, bounds_by_label, values in (
        ("onset in sessions", _ONSETS, [1.0 + truth.onset_session for truth in truths]),
        ("own forms missing:", _MISSING, [truth.clients.missing_rate for truth in truths]),
        ("usual rating", _LEVELS, [truth.course.expected_total.mean(axis=1) for truth in truths]),
    ):
        groups += [
            (f"{name} {label}", [_is_between(value, *bounds) for value in values])
            for label, bounds in bounds_by_label.items()
        ]
    return groups


_Bounds = dict[str, tuple[float, float]]
_ONSETS: _Bounds = {"2 to 4": (2, 5), "5 to 8": (5, 9), "9 and later": (9, 99)}
_MISSING: _Bounds = {"under 10%": (0, 0.1), "10 to 40%": (0.1, 0.4), "more": (0.4, 1.1)}
_LEVELS: _Bounds = {"under 80": (-99, 80), "80 to 95": (80, 95), "95 and more": (95, 999)}


def _is_between(values: FloatArray, low: float, high: float) -> BoolArray:
    return np.asarray((values >= low) & (values < high))
