"""Which requests of a browser come from our pages."""

import pytest

from shared.identity.request_origin import is_from_our_pages

OURS = "https://attune.example"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin", "origin": "null"},
        {"origin": "https://attune.example"},
        {"origin": "https://attune.example:443"},
        {"origin": "https://ATTUNE.example"},
    ],
)
def test_a_request_of_our_pages_or_of_the_user_is_accepted(headers: dict[str, str]) -> None:
    assert is_from_our_pages(headers, OURS)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"referer": "https://attune.example/me"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "cross-site", "origin": "https://attune.example"},
        {"origin": "https://evil.example"},
        {"origin": "https://attune.example.evil.example"},
        {"origin": "https://attune.example:8443"},
        {"origin": "http://attune.example"},
        {"origin": "https://attune.example@evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "https://[attune"},
        {"origin": "https://attune.example:port"},
    ],
)
def test_every_other_request_is_refused(headers: dict[str, str]) -> None:
    assert not is_from_our_pages(headers, OURS)


def test_a_port_belongs_to_the_origin() -> None:
    assert is_from_our_pages({"origin": "http://localhost:8000"}, "http://localhost:8000")
    assert not is_from_our_pages({"origin": "http://localhost:8001"}, "http://localhost:8000")
