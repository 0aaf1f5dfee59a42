"""Paths that a device's entry names: only under folders that the settings allow, whatever links say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def allowed_path(path: Path, roots: Iterable[Path]) -> Path:
    """Return where `path` really is.

    Raises:
        PermissionError: It is not absolute, or not under one of `roots`.
        OSError: It is not there.
    """
    if not path.is_absolute():
        raise PermissionError(1, "the path is not absolute")
    real = path.resolve(strict=True)
    if not any(real.is_relative_to(root.resolve()) and real != root.resolve() for root in roots):
        raise PermissionError(1, "it is not under a folder that the settings allow")
    return real
