"""The start page of the demo offers one person of each role."""

from dataclasses import replace
from datetime import UTC, datetime

from tools.sandbox.demo.start_page import people_of, render
from tools.sandbox.network.parameters import Parameters
from tools.sandbox.network.world import World

WORLD = World(1, datetime(2026, 11, 24, 12, tzinfo=UTC), Parameters(relationships=5))
CLINIC, CLINICIAN = WORLD.clinics[0], WORLD.clinicians[0]


def test_there_is_one_person_of_each_role_and_a_client() -> None:
    page = render(people_of(CLINIC, CLINICIAN), "http://localhost:8000/f/token")

    for name in ("clinician-1.linden", "Supervisor", "Desk", "Privacy officer", "Administrator"):
        assert name in page
    assert 'href="http://localhost:8000/f/token"' in page


def test_the_clinician_and_the_supervisor_start_at_the_inbox_of_the_clinician() -> None:
    paths = {person.name: person.path for person in people_of(CLINIC, CLINICIAN)}

    inbox = f"/inbox/{CLINICIAN.id}"
    assert (paths["clinician-1.linden"], paths["Supervisor of Linden"]) == (inbox, inbox)
    assert paths["Desk of Linden"] == "/me"


def test_there_is_no_client_without_an_open_form() -> None:
    assert "A client" not in render(people_of(CLINIC, CLINICIAN), "")


def test_what_people_are_called_is_no_markup() -> None:
    page = render(people_of(replace(CLINIC, name="<b>Elm</b> Clinic"), CLINICIAN), "")

    assert "<b>" not in page
    assert "&lt;b&gt;Elm" in page
