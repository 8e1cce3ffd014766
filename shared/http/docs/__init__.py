"""The API as a page, `/docs`, for development: off unless it is asked for. Its files are those of Swagger UI 5.35.0.

They are part of the service, so that the page works without the internet and under a strict policy.
"""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "docs.js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<h1 hidden>{title}</h1>
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/docs.js"></script>
</body>
</html>
"""


def add_docs_routes(ops: FastAPI, api: FastAPI) -> None:
    """Add the description of `api` to `ops`: `/openapi.json`, and `/docs` with its files."""

    @ops.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(api.openapi())

    @ops.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    async def docs() -> HTMLResponse:
        return HTMLResponse(PAGE.format(title=api.title), headers=HEADERS)

    @ops.get("/docs/{name}", include_in_schema=False, response_class=FileResponse)
    async def docs_file(name: str) -> FileResponse:
        if name not in FILES:
            raise HTTPException(404)
        headers = {"Cache-Control": "max-age=3600"}
        return FileResponse(Path(__file__).parent / name, media_type=FILES[name], headers=headers)
