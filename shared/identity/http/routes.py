"""Signing in and out, invitations, and a person's own page."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from shared.access.roles import Role
from shared.errors import Rejected, Transient
from shared.identity.authentication import Authentication, Unauthenticated, UntrustedRequest
from shared.identity.cookies import (
    LOGIN_COOKIE,
    SIGN_IN_COOKIE,
    clear_login_cookie,
    read_cookie,
    set_login_cookie,
    set_sign_in_cookie,
)
from shared.identity.form_tokens import form_token_of
from shared.identity.http import texts
from shared.identity.http.pages import HEADERS, STYLE_PATH, read_style, render_notice, render_page
from shared.identity.login_sessions import LoginSessions
from shared.identity.principal import Person
from shared.identity.secret_values import create_secret
from shared.identity.sign_in import START_PAGE, SignIn, SignInAnswer

log = structlog.get_logger()

FindRoles = Callable[[Person], Awaitable[Collection[Role]]]
"""The roles in which a person may act now, in the order in which they are shown. Raises Transient."""
PAGE: dict[str, Any] = {"response_class": HTMLResponse}
REDIRECT: dict[str, Any] = {"response_class": HTMLResponse, "status_code": 303}


def routes(
    sign_in: SignIn, login_sessions: LoginSessions, authentication: Authentication, find_roles: FindRoles
) -> APIRouter:
    """Every route of sign-in. The application also needs `add_identity_handlers`."""
    router = APIRouter(tags=["sign-in"])
    router.include_router(_sign_in_routes(sign_in, login_sessions))
    router.include_router(_sign_out_routes(sign_in, login_sessions, authentication))
    router.include_router(_invitation_routes(sign_in, authentication))
    router.include_router(_own_routes(login_sessions, authentication, find_roles))
    router.include_router(_role_routes(login_sessions, authentication, find_roles))

    style = read_style()

    @router.get(STYLE_PATH, include_in_schema=False)
    async def read_sign_in_style() -> Response:
        return Response(style, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})

    return router


def _sign_in_routes(sign_in: SignIn, login_sessions: LoginSessions) -> APIRouter:
    router = APIRouter()

    @router.get("/sign-in", **REDIRECT)
    async def start_sign_in(request: Request, go_back_to: str = START_PAGE) -> Response:
        """Start a sign-in and redirect to the issuer, which sends the browser back to the callback."""

        async def start() -> Response:
            browser_secret = _browser_secret_of(request)
            address = await sign_in.start(browser_secret, go_back_to)
            response = RedirectResponse(address, 303, HEADERS)
            set_sign_in_cookie(response, browser_secret)
            return response

        return await _answer(request, start)

    @router.get("/sign-in/callback", **REDIRECT)
    async def finish_sign_in(request: Request, state: str = "", code: str | None = None) -> Response:
        """Finish the sign-in with the issuer's answer, and go back to where it started."""

        async def finish() -> Response:
            answer, user_agent = SignInAnswer(state, code), request.headers.get("user-agent", "")
            signed_in = await sign_in.finish(answer, read_cookie(request, SIGN_IN_COOKIE), user_agent)
            if former_secret := read_cookie(request, LOGIN_COOKIE):
                await login_sessions.end_of_cookie(former_secret)
            response = RedirectResponse(signed_in.go_back_to, 303, HEADERS)
            set_login_cookie(response, signed_in.cookie_secret)
            return response

        return await _answer(request, finish)

    return router


def _sign_out_routes(sign_in: SignIn, login_sessions: LoginSessions, authentication: Authentication) -> APIRouter:
    router = APIRouter()

    @router.post("/sign-out", **PAGE)
    async def sign_out(request: Request) -> Response:
        """End the login session of this browser, and sign out of the issuer, too."""

        async def end() -> Response:
            if await _find_person(authentication, request):
                await login_sessions.end_of_cookie(read_cookie(request, LOGIN_COOKIE) or "")
            response = render_notice(texts.SIGNED_OUT, continue_at=await sign_in.sign_out_address() or "")
            clear_login_cookie(response)
            return response

        return await _answer(request, end)

    return router


def _invitation_routes(sign_in: SignIn, authentication: Authentication) -> APIRouter:
    router = APIRouter(prefix="/invitations/{token}")

    @router.get("", **PAGE)
    async def read_invitation(token: str, request: Request) -> Response:
        """The invitation. Opening it changes nothing, because mail programs and messengers open every link."""

        async def read() -> Response:
            await sign_in.require_invitation(token)
            return render_page("invitation.html", token=token)

        return await _answer(request, read)

    @router.post("", **PAGE)
    async def accept_invitation(token: str, request: Request) -> Response:
        """Start the sign-in that binds the account to the person who was invited."""

        async def start() -> Response:
            authentication.require_our_page(request)
            browser_secret = _browser_secret_of(request)
            address = await sign_in.start(browser_secret, START_PAGE, token)
            response = render_notice(texts.CONTINUES_AT_ISSUER, continue_at=address)
            set_sign_in_cookie(response, browser_secret)
            return response

        return await _answer(request, start)

    return router


def _own_routes(login_sessions: LoginSessions, authentication: Authentication, find_roles: FindRoles) -> APIRouter:
    router = APIRouter(prefix="/me")

    @router.get("", **PAGE)
    async def read_me(request: Request) -> Response:
        """The person's roles, and the browsers in which the person is signed in."""

        async def read() -> Response:
            person = await _require_person(authentication, request)
            return render_page(
                "me.html",
                roles=list(await find_roles(person)),
                chosen_role=person.chosen_role,
                sessions=await login_sessions.list_active(person.person_id),
                current_id=person.login_session_id,
                form_token=form_token_of(request),
            )

        return await _answer(request, read)

    @router.post("/login-sessions/{login_session_id}/end", **REDIRECT)
    async def end_login_session(login_session_id: str, request: Request) -> Response:
        """Sign the person out in another browser."""

        async def end() -> Response:
            person = await _require_person(authentication, request)
            await login_sessions.end(person.person_id, login_session_id)
            return RedirectResponse(START_PAGE, 303, HEADERS)

        return await _answer(request, end)

    return router


def _role_routes(login_sessions: LoginSessions, authentication: Authentication, find_roles: FindRoles) -> APIRouter:
    router = APIRouter()

    @router.post("/me/role", **REDIRECT)
    async def choose_role(request: Request) -> Response:
        """Act in the `role` of the form from now on; in the one that fits each page if it is empty."""

        async def choose() -> Response:
            person = await _require_person(authentication, request)
            wanted = str((await request.form()).get("role", ""))
            role = next((role for role in await find_roles(person) if role == wanted), None)
            if wanted and role is None:
                return render_notice(texts.REJECTED_ROLE)
            cookie_secret = await login_sessions.choose_role(person, role)
            response = RedirectResponse(START_PAGE, 303, HEADERS)
            if cookie_secret is not None:
                set_login_cookie(response, cookie_secret)
            return response

        return await _answer(request, choose)

    return router


async def _answer(request: Request, answer: Callable[[], Awaitable[Response]]) -> Response:
    """The answer, or a page that says what went wrong. Raises Unauthenticated and UntrustedRequest."""
    try:
        return await answer()
    except (Unauthenticated, UntrustedRequest):
        raise
    except Rejected as error:
        log.info("Sign-in page: the request was rejected", code=error.code)
        notice = texts.NOTICE_BY_CODE.get(error.code, texts.SIGN_IN_FAILED)
        return render_notice(notice, form_token=form_token_of(request))
    except Transient as error:
        log.warning("Sign-in page not shown: a dependency is unavailable", reason=str(error))
        return render_notice(texts.UNAVAILABLE)


async def _require_person(authentication: Authentication, request: Request) -> Person:
    principal = await authentication.authenticate(request)
    if not isinstance(principal, Person):
        raise Unauthenticated  # a machine has no page
    return principal


async def _find_person(authentication: Authentication, request: Request) -> Person | None:
    try:
        return await _require_person(authentication, request)
    except Unauthenticated:
        return None


def _browser_secret_of(request: Request) -> str:
    """The value of the browser's cookie: the same for sign-ins in several tabs, so that each of them can finish."""
    return read_cookie(request, SIGN_IN_COOKIE) or create_secret()
