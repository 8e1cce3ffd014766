"""The page, from a run of two worlds that takes seconds."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.bars import measure_bars
from evaluation.measured import Results
from evaluation.published import compare
from evaluation.report import Report, write_report
from evaluation.results import run_everything
from evaluation.settings import ASKED_LAWS, FULL, SHORT, load_declared_misses
from evaluation.simulation.settings import load_settings
from evaluation.tables import replaced_bars, wrap
from evaluation.trial import BASE_RATES

SIMULATION = load_settings()
RUN = replace(
    SHORT,
    worlds=("ordinal", "mute"),
    relationships=40,
    relationships_at_other_base_rate=10,
    long_stable=4,
    long_other=4,
    adaptation_repeats=1,
    adaptation_history=20,
    adaptation_fresh=20,
    published_clients=300,
    resamples=30,
)


@pytest.fixture(scope="module")
def results() -> Results:
    return run_everything(SIMULATION, RUN)


def test_the_page_says_first_that_no_people_were_measured_and_has_every_table(results: Results, tmp_path: Path) -> None:
    bars = measure_bars(results)
    comparisons = [c for trial in results.trials for c in compare(trial.world, 300, 0.25, 30, 1)]
    declared = {bars[0].key: "a reason"}
    write_report(Report(results, bars, comparisons, declared, RUN, SIMULATION), tmp_path / "evaluation.md")
    page = (tmp_path / "evaluation.md").read_text()
    introduction = page.split("\n## ")[0]

    assert "**Nothing here was measured on people.**" in introduction
    assert "160 simulated relationships in 2 invented clinics" in introduction.replace("\n", " ")
    assert re.search(
        r"Where 15 of 100 relationships have a rupture, \d+ of 100 alerts", introduction.replace("\n", " ")
    )
    for bar in bars:
        assert f"| {bar.statement}" in page
    assert replaced_bars(bars).split("\n")[0] in page
    for picture in re.findall(r"\]\((evaluation/\w+\.svg)\)", page):
        assert (tmp_path / picture).stat().st_size > 0
    assert "nan" not in re.sub(r"\w*nan\w+|\w+nan\w*", "", introduction)
    assert "belief" not in page.lower()


def test_a_world_without_effects_is_marked(results: Results) -> None:
    assert [trial.world.has_effects for trial in results.trials] == [True, False]
    assert len(results.with_effects) == 1


def test_the_lines_of_paragraphs_are_wrapped_and_tables_are_not() -> None:
    words, row = "word " * 60, "| cell " * 60 + "|"
    wrapped = wrap(f"## Title\n\n{words}\n\n{row}\n\n- {words}\n- short")

    assert row in wrapped
    assert max(len(line) for line in wrapped.splitlines() if line != row) <= 120
    assert wrapped.endswith("\n- short")


def test_every_declared_miss_names_a_bar_and_a_reason(results: Results) -> None:
    keys = {bar.key for bar in measure_bars(results)} | {"adapted", "adapted-repeats"}
    keys |= {f"urgent-deep-{share}{law}" for law in ASKED_LAWS for share in ("", "share-")}  # by whether it is replaced
    keys |= {f"{bar}-{rate}" for bar in ("bins", "brier", "brier-replaced") for rate in BASE_RATES}
    declared = load_declared_misses()

    assert set(declared) <= keys
    assert all(declared.values())
    assert FULL.worlds is None
