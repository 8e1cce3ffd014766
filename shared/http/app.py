"""An HTTP application as all four services have it; each adds its routes."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from shared.http.problems import RESPONSES, answer_with_problems


def application(
    title: str,
    description: str,
    body_limit: int,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
) -> FastAPI:
    """An application that answers errors with problem details and refuses bodies of more than `body_limit` bytes."""
    app = FastAPI(title=title, description=description, version="1", lifespan=lifespan, responses=RESPONSES)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=body_limit)
    answer_with_problems(app)
    return app
