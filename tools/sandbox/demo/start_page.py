"""The start page of the demo: one person of each role, and where each of them goes first."""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tools.sandbox.network.course import Clinic, Clinician
from tools.sandbox.network.staff import StaffMember, administrator_of, clinician_as_staff, invited_staff
from tools.sandbox.servers.front_door import FrontDoor

TEMPLATE = "start_page.html"
OWN_PAGE = "/me"


@dataclass(frozen=True)
class Person:
    """Somebody as whom a visitor of the demo can sign in."""

    name: str
    duty: str
    path: str
    """The page on which the person's work starts."""


def people_of(clinic: Clinic, clinician: Clinician) -> list[Person]:
    """One person of each role: `clinician`, and those at the clinic who see what the clinician does."""
    inbox = f"/inbox/{clinician.id}"
    others = [_person(member, inbox if member.role == "supervisor" else OWN_PAGE) for member in invited_staff(clinic)]
    return [_person(clinician_as_staff(clinician), inbox), *others, _person(administrator_of(clinic), OWN_PAGE)]


def render(people: list[Person], form_url: str) -> str:
    """The page. `form_url` is the link of a client who has not answered yet, or empty."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(TEMPLATE).render(people=people, form_url=form_url)


def write(front_door: FrontDoor, page: str) -> None:
    """Let the front door serve the page from now on."""
    staging_file = front_door.start_page.with_suffix(".staging")
    staging_file.write_text(page, encoding="utf-8")
    staging_file.replace(front_door.start_page)


def _person(member: StaffMember, path: str) -> Person:
    return Person(member.account.name, member.account.description, path)
