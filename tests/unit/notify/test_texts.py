"""The texts that clinicians read."""

from services.notify.domain import texts


def test_a_message_links_to_the_inbox_and_identifies_nobody() -> None:
    text = texts.email_body("raised", "https://attune.example/inbox/1")

    assert "shows signs of strain" in text
    assert "https://attune.example/inbox/1" in text
    assert "not an emergency message" in text
