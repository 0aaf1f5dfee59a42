"""The one Jinja2 environment: templates of this package only, HTML escaped, a missing fact is an error."""

from __future__ import annotations

from functools import cache

import jinja2

from rendering.typesetting import TEMPLATES


@cache
def environment() -> jinja2.Environment:
    """Return the environment; templates are compiled once per process."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html",), default_for_string=True),
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
    )
