"""docs/reference/api.md lists every call with its permission, and the roles' permissions, as the code has them."""

from pathlib import Path

from api.permissions import ROLE_PERMISSIONS, Permission
from domain.enums import Role
from tests.integration.api.test_access import _permission, _routes

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "api.md").read_text(encoding="utf-8")


def _rows(beginning):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if line.startswith(beginning)
    ]


def test_every_call_is_listed_with_its_permission():
    listed = {(cells[0].strip("`"), cells[1]) for cells in _rows("| `")}
    expected = {
        (
            f"{method} {route.path.replace(':path}', '}')}",
            permission.value if (permission := _permission(route)) else "–",
        )
        for method, route in _routes()
        if route.include_in_schema or route.path == "/metrics"
    }
    assert expected - listed == set(), "add to docs/reference/api.md"
    assert {call for call in listed if call[0].startswith(("GET", "POST"))} - expected == set(), "remove from the page"


def test_the_table_of_roles_is_the_code_s():
    rows = {cells[0]: cells[1:] for cells in _rows("| ") if cells[0] in set(Permission)}
    assert set(rows) == set(Permission)
    for permission, cells in rows.items():
        marks = {role for role, cell in zip(Role, cells, strict=True) if cell == "✓"}
        assert marks == {role for role in Role if permission in ROLE_PERMISSIONS[role]}, permission
