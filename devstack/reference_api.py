"""The tables of `docs/reference/api.md` that come from code: every call with its permission, and what roles may do."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.main import ROUTERS
from api.permissions import ROLE_PERMISSIONS, Permission, Require
from domain.enums import Role

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "api.md"
_CALLS, _ROLES = "## Calls\n", "## Permissions of the roles\n"


def api_page() -> str:
    """Return the page with both tables written anew; the words around them are people's.

    Raises:
        ValueError: A heading that a table stands under is not on the page.
    """
    text = PAGE.read_text(encoding="utf-8")
    for heading, table in ((_CALLS, _calls()), (_ROLES, _roles())):
        before, found, rest = text.partition(heading)
        if not found:
            raise ValueError(f"{PAGE.name} has no heading {heading.strip()!r}")
        _, mark, after = rest.partition("\n## ")
        text = before + heading + "\n" + "\n".join(table) + "\n" + mark + after
    return text


def permission_of(route: APIRoute) -> Permission | None:
    """Return the permission that a route declares, None for one with another proof."""
    found = [call.permission for call in _calls_of(route.dependant) if isinstance(call, Require)]
    return found[0] if found else None


def _calls_of(dependant: Dependant) -> Iterator[object]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _calls_of(dependency)


def _calls() -> list[str]:
    lines = ["| call | permission | what it does |", "|---|---|---|"]
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and (route.include_in_schema or route.path == "/metrics"):
                path = route.path.replace(":path}", "}")
                permission = permission_of(route)
                said = route.summary if route.summary and not route.endpoint.__doc__ else _first_words(route)
                lines += [
                    f"| `{method} {path}` | {permission.value if permission else '–'} | {said} |"
                    for method in sorted((route.methods or set()) - {"HEAD"})
                ]
    return lines


def _first_words(route: APIRoute) -> str:
    text = inspect.cleandoc(route.endpoint.__doc__ or route.summary or "")
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def _roles() -> list[str]:
    names = [role.value.replace("_", " ") for role in Role]
    lines = ["| permission | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for permission in Permission:
        marks = ["✓" if permission in ROLE_PERMISSIONS[role] else "" for role in Role]
        lines.append("| " + " | ".join([permission.value, *marks]) + " |")
    return lines
