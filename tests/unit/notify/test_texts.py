"""The texts that clinicians read."""

import pytest

from services.notify.domain import texts
from services.notify.domain.episode import EpisodeEnd


def test_a_message_links_to_the_inbox_and_identifies_nobody() -> None:
    text = texts.email_body(texts.email_subject("raised", None), "https://attune.example/inbox/1")

    assert "shows signs of strain" in text
    assert "https://attune.example/inbox/1" in text
    assert "not an emergency message" in text


@pytest.mark.parametrize(
    ("end_reason", "expected"),
    [("ended_by_client", "ended after signs of strain"), ("transferred", "was transferred after signs of strain")],
)
def test_a_message_about_a_relationship_that_has_ended_says_so(end_reason: EpisodeEnd, expected: str) -> None:
    text = texts.email_body(texts.email_subject("raised", end_reason), "https://attune.example/inbox/1")

    assert expected in text
    assert "shows signs" not in text
