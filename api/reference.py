"""The description of the API as a page: every route with who may call it. No script, nothing from elsewhere."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api.errors import responses
from domain.errors import NotFoundError

router = APIRouter(tags=["operations"])

_PAGE = (
    "<!doctype html><html lang='en'><meta charset='utf-8'><title>LabSetu API</title><style>"
    "body{{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}}"
    "td{{padding:.2rem .8rem .2rem 0;vertical-align:top}}code{{white-space:nowrap}}h2{{margin-top:2rem}}</style>"
    "<h1>LabSetu API</h1><p>The whole description, for tools: <a href='/openapi.json'>/openapi.json</a>."
    " Errors: <a href='/docs/errors'>/docs/errors</a>.</p>{body}</html>"
)


@router.get("/docs", include_in_schema=False, response_class=HTMLResponse, responses=responses())
async def reference(request: Request) -> HTMLResponse:
    """List every described route by group."""
    if request.app.openapi_url is None:
        raise NotFoundError("this installation shows no description", code="PAGE_UNKNOWN")
    groups: dict[str, list[str]] = {}
    for path, item in request.app.openapi()["paths"].items():
        for method, operation in item.items():
            row = (
                f"<tr><td><code>{method.upper()}</code></td><td><code>{escape(path)}</code></td>"
                f"<td>{escape(operation.get('description') or operation.get('summary', '')).splitlines()[0]}</td></tr>"
            )
            groups.setdefault(operation.get("tags", ["other"])[0], []).append(row)
    body = "".join(f"<h2>{escape(name)}</h2><table>{''.join(rows)}</table>" for name, rows in groups.items())
    return HTMLResponse(_PAGE.format(body=body))
