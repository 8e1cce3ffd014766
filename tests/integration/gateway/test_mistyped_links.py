"""Who mistypes the address of a page gets a page that says what is wrong, and no password prompt."""

import httpx2
import pytest

pytestmark = pytest.mark.integration

AS_BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/F/token", {}), ("/F/token", AS_BROWSER), ("/F", {}), ("/Inbox/0", AS_BROWSER), ("/", AS_BROWSER)],
)
async def test_a_person_gets_a_page_that_says_what_is_wrong(
    gateway: httpx2.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    page = await gateway.get(path, headers=headers)

    assert page.status_code == 404
    assert page.headers["Content-Type"] == "text/html"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert page.headers["Strict-Transport-Security"]
    assert "WWW-Authenticate" not in page.headers
    assert "exactly as you received it" in page.text
    assert "emergency number" in page.text


@pytest.mark.parametrize("path", ["/FORM", "/lost/"])
async def test_a_program_gets_problem_details(gateway: httpx2.AsyncClient, path: str) -> None:
    response = await gateway.get(path)

    assert (response.status_code, response.headers["Content-Type"]) == (404, "application/problem+json")
    assert response.json()["status"] == 404
