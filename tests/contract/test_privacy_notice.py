"""The form promises who sees the answers. The promise stands in one place, and says what is true."""

import re
from pathlib import Path

from services.sessions.http.questions import PRIVACY_NOTICE
from tools.sandbox.servers.process import PROJECT_ROOT

EVERYONE = "Everyone who works with this system at your clinic, or at a clinic that shares it"
NO_LOG_IN = "There is no log-in yet."


def test_while_there_is_no_log_in_the_form_says_that_everyone_at_the_clinic_can_see_the_answers() -> None:
    """Who can read what: one password at the gateway, which all staff of all clinics of an installation share."""
    has_no_log_in = NO_LOG_IN in (PROJECT_ROOT / "SECURITY.md").read_text(encoding="utf-8")

    for notice in PRIVACY_NOTICE.values():
        assert (EVERYONE in notice) == has_no_log_in
        assert not has_no_log_in or "obody else" not in notice


def test_the_promise_stands_in_one_place() -> None:
    promise = re.compile(
        r"(see|sees|read|reads)\s+(them|your\s+answers?)\b|[Nn]obody\s+else\s+(does|sees|reads)", re.ASCII
    )
    texts = [*PROJECT_ROOT.glob("services/*/templates/*.html"), *PROJECT_ROOT.glob("services/*/http/*.py")]

    places = {path.relative_to(PROJECT_ROOT) for path in texts if promise.search(path.read_text(encoding="utf-8"))}

    assert places == {Path("services/sessions/http/questions.py")}
