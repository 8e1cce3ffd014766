"""The form: how entered values are parsed, and what is shown while the store is unavailable."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.datastructures import FormData

from services.sessions.http import questions, routes
from services.sessions.http.pages import InvalidForm, parse_answer
from services.sessions.metrics import SessionsMetrics
from services.sessions.service import OpenForm, Reader, SessionsService
from services.sessions.settings import Settings
from shared.errors import StoreUnavailable
from shared.events import Answer


def test_each_statement_may_be_left_out_but_not_all() -> None:
    form_data = FormData({"trust": "10", "fit": "0", "respect": "", "tension": "a_little", "talked_about": "partly"})

    assert parse_answer(form_data) == Answer(
        ratings={"trust": 10, "fit": 0}, tension="a_little", talked_about="partly", language="en"
    )
    with pytest.raises(InvalidForm, match="at least one"):
        parse_answer(FormData({"tension": "yes", "respect": ""}))


@pytest.mark.parametrize(
    "fields",
    [
        [("trust", "11")],
        [("trust", "-1")],
        [("trust", "٣")],
        [("trust", "7.5")],
        [("trust", "3"), ("trust", "5")],
        [("trust", "3"), ("tension", "perhaps")],
    ],
)
def test_a_value_that_the_form_does_not_offer_is_rejected(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidForm, match="not among the choices"):
        parse_answer(FormData([*fields]))


def test_only_a_tension_that_occurred_can_have_been_talked_about() -> None:
    for tension in ("", "none"):
        with pytest.raises(InvalidForm, match="not that there was one"):
            parse_answer(FormData({"trust": "5", "tension": tension, "talked_about": "yes"}))


def test_both_raters_are_asked_about_the_same_elements() -> None:
    assert set(questions.STATEMENTS["client"]) == set(questions.STATEMENTS["clinician"]) == set(questions.ELEMENTS)


def test_the_default_settings_suit_a_clinic() -> None:
    settings = Settings(kafka_bootstrap_servers="localhost:9092", mongodb_uri="mongodb://localhost")

    assert (settings.http_port, settings.mongodb_database, settings.feedback_window_hours) == (
        8002,
        "attune_sessions",
        72,
    )


class UnavailableService(SessionsService):
    """A service whose store is unavailable."""

    async def open_form(self, token: str) -> OpenForm:
        raise StoreUnavailable("the database is away")

    async def answer_form(self, token: str, answer: Answer) -> Reader:
        raise StoreUnavailable("the database is away")


async def test_while_the_store_is_unavailable_people_are_asked_to_send_the_form_again() -> None:
    unused: Any = None
    service = UnavailableService(
        unused, SessionsMetrics(CollectorRegistry()), timedelta(0), timedelta(0), unused, unused
    )
    app = FastAPI()
    app.include_router(routes(service, "http://127.0.0.1", "call somebody"))

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        pages = [
            await client.get("/f/token"),
            await client.post("/f/token", data={"trust": "3"}),
            await client.post("/f/token", data={}),
        ]

    for page in pages:
        assert page.status_code == 503
        assert page.headers["retry-after"] == "5"
        assert "send it again" in page.text
        assert "call somebody" in page.text
