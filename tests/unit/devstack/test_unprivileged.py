"""PostgreSQL runs as somebody who is not root and reaches its programs and data."""

import os
from pathlib import Path

import pytest

from devstack import unprivileged


def test_an_ordinary_user_stays_who_he_is(tmp_path: Path):
    if os.geteuid() == 0:
        pytest.skip("we are root")
    place = unprivileged.places(tmp_path)
    assert place.user is None
    assert place.data_root == tmp_path / "postgres"
    assert (place.programs / "postgres").exists()


def test_root_finds_an_account_and_open_places(tmp_path: Path):
    if os.geteuid() != 0:
        pytest.skip("only root changes who runs")
    open_home = Path("/tmp") / f"labsetu-unit-{os.getpid()}"  # noqa: S108  an open directory is what is tested
    open_home.mkdir(mode=0o755)
    try:
        place = unprivileged.places(open_home)
        assert place.user is not None
        assert place.user[0] != 0
        assert place.data_root == open_home / "postgres"
        assert place.data_root.stat().st_uid == place.user[0]
    finally:
        (open_home / "postgres").rmdir()
        open_home.rmdir()


def test_root_with_a_closed_home_shelters_programs_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if os.geteuid() != 0:
        pytest.skip("only root changes who runs")
    shelter = Path("/tmp") / f"labsetu-shelter-{os.getpid()}"  # noqa: S108
    monkeypatch.setattr(unprivileged, "_SHELTER", shelter)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    try:
        place = unprivileged.places(closed)
        assert place.data_root.parent == shelter
        assert place.data_root == unprivileged.places(closed).data_root
        assert place.user is not None
        assert place.data_root.stat().st_uid == place.user[0]
    finally:
        for path in sorted(shelter.rglob("*"), reverse=True):
            path.rmdir()
        shelter.rmdir()
