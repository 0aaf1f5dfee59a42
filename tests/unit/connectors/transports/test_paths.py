"""Only paths under the allowed folders, wherever links lead."""

from pathlib import Path

import pytest

from connectors.transports.paths import allowed_path


def test_a_path_under_a_root(tmp_path: Path):
    (tmp_path / "in").mkdir()
    assert allowed_path(tmp_path / "in", [tmp_path]) == tmp_path / "in"
    assert allowed_path(tmp_path / "in" / ".." / "in", [tmp_path / "other", tmp_path]) == tmp_path / "in"


def test_paths_that_are_refused(tmp_path: Path):
    root, outside = tmp_path / "root", tmp_path / "root-2"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    for path in (root, outside, root / "link", root / ".." / "root-2", Path("relative")):
        with pytest.raises(PermissionError):
            allowed_path(path, [root])
    with pytest.raises(PermissionError):
        allowed_path(outside, [])
    with pytest.raises(FileNotFoundError):
        allowed_path(root / "gone", [root])
