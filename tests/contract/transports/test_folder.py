"""A watched folder on a real file system."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from connectors.line import ListenerLimits
from connectors.transports import ChannelSetup, Device, channel_for
from domain.device_profile import DeviceProfile
from domain.device_transport import WatchedFolder
from domain.observations import StoreOutcome
from tests.contract.transports.running import running, until
from tests.fixtures.shelf import Shelf

MESSAGE = b"MSH|^~\\&|BC|M|||20261118||ORU^R01|7|P|2.3.1\rPID|1\r"


def folder(shelf, path, *, roots=None, pattern="*", size=4096):
    transport = WatchedFolder(path=str(path), pattern=pattern, settled_s=0.05)
    setup = ChannelSetup(
        shelf, ListenerLimits(max_message_bytes=size), folder_roots=tuple([path.parent] if roots is None else roots)
    )
    return channel_for(transport, Device(code="F-1", profile=DeviceProfile(protocol="hl7")), setup)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    path = tmp_path / "analyzer"
    path.mkdir()
    return path


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir()) if path.exists() else []


async def test_one_message_per_file_oldest_first(inbox: Path):
    shelf = Shelf()
    for number in (2, 1):
        (inbox / f"{number}.hl7").write_bytes(MESSAGE + b"%d" % number)
        os.utime(inbox / f"{number}.hl7", (1_000 + number, 1_000 + number))
    (inbox / "notes.txt").write_text("not for us")
    async with running(folder(shelf, inbox, pattern="*.hl7")) as channel:
        await shelf.wait(2)
        await until(lambda: len(names(inbox / "done")) == 2)
        (state,) = channel.connections()
    assert shelf.messages == [MESSAGE + b"1", MESSAGE + b"2"]
    assert (shelf.kept[0].transport, shelf.kept[0].peer, shelf.kept[0].device) == ("folder", str(inbox), "F-1")
    assert (state.received, state.acknowledged) == (2, 2)
    assert names(inbox) == ["done", "failed", "notes.txt"]


async def test_marks_around_a_message_are_taken_off(inbox: Path):
    shelf = Shelf()
    (inbox / "a").write_bytes(b"\x0b" + MESSAGE + b"\x1c\r\n")
    async with running(folder(shelf, inbox)):
        await shelf.wait(1)
    assert shelf.messages == [MESSAGE]


async def test_a_file_that_grows_is_left_alone(inbox: Path):
    shelf = Shelf()
    async with running(folder(shelf, inbox)):
        with (inbox / "a").open("ab", buffering=0) as stream:
            for _ in range(15):
                stream.write(b"x" * 10)
                await asyncio.sleep(0.02)
                assert shelf.kept == []
        await shelf.wait(1)
    assert shelf.messages == [b"x" * 150]


async def test_files_stay_while_the_store_is_away(inbox: Path):
    shelf = Shelf()
    shelf.refuse(2)
    (inbox / "a").write_bytes(MESSAGE)
    async with running(folder(shelf, inbox)) as channel:
        await until(lambda: channel.connections() and channel.connections()[0].refused)
        assert names(inbox / "done") == []
        await shelf.wait(1)
        await until(lambda: names(inbox / "done") == ["a"])
    assert shelf.messages == [MESSAGE]


async def test_what_cannot_be_a_message_is_put_aside(inbox: Path):
    shelf = Shelf()
    (inbox / "long").write_bytes(b"x" * 10_000)
    (inbox / "empty").touch()
    async with running(folder(shelf, inbox)):
        await until(lambda: names(inbox / "failed") == ["empty", "long"])
    assert shelf.broken == ["file longer than 4096 bytes"]
    assert len(shelf.kept[0].raw) == 4096


async def test_what_was_stored_but_not_understood_is_put_aside(inbox: Path):
    shelf = Shelf()
    shelf.outcomes.append(StoreOutcome(accepted=True, readable=False, note="HL7_HEADER"))
    (inbox / "a").write_bytes(b"no message")
    async with running(folder(shelf, inbox)):
        await until(lambda: names(inbox / "failed") == ["a"])
    assert shelf.messages == [b"no message"]


async def test_links_and_folders_are_not_followed(inbox: Path, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("not for the laboratory")
    (inbox / "link").symlink_to(secret)
    (inbox / "below").mkdir()
    os.mkfifo(inbox / "pipe")
    shelf = Shelf()
    async with running(folder(shelf, inbox)):
        (inbox / "z").write_bytes(MESSAGE)
        await shelf.wait(1)
        await until(lambda: names(inbox / "done") == ["z"])
    assert shelf.messages == [MESSAGE]
    assert secret.read_text() == "not for the laboratory"


async def test_a_name_that_is_there_already_keeps_its_place(inbox: Path):
    shelf = Shelf()
    (inbox / "done").mkdir()
    (inbox / "done" / "a").write_bytes(b"earlier")
    (inbox / "a").write_bytes(MESSAGE)
    async with running(folder(shelf, inbox)):
        await until(lambda: len(names(inbox / "done")) == 2)
    assert (inbox / "done" / "a").read_bytes() == b"earlier"


@pytest.mark.parametrize("how", ["replaced", "continued"])
async def test_what_is_written_while_a_file_is_stored_is_not_moved_away_unread(inbox: Path, how: str):
    """Some devices write every message to a file of the same name."""
    shelf, written = Shelf(), MESSAGE.replace(b"|7|", b"|8|")

    async def store(message):
        if not shelf.messages:
            if how == "replaced":
                (inbox / "new").write_bytes(written)
                (inbox / "new").rename(inbox / "a")
            else:
                (inbox / "a").write_bytes(written)
        return await shelf(message)

    (inbox / "a").write_bytes(MESSAGE)
    async with running(folder(store, inbox)):
        await shelf.wait(2)
        await until(lambda: names(inbox / "done") == ["a"])
    assert shelf.messages == [MESSAGE, written]


async def test_a_file_that_cannot_be_moved_is_stored_once(inbox: Path):
    shelf = Shelf()
    (inbox / "a").write_bytes(MESSAGE)
    async with running(folder(shelf, inbox)) as channel:
        await until(lambda: names(inbox) == ["a", "done", "failed"])
        (inbox / "done").rmdir()
        await shelf.wait(1)
        await until(lambda: names(inbox / "done") == ["a"] or channel.trouble)
        await until(lambda: names(inbox / "done") == ["a"])
    assert shelf.messages == [MESSAGE]


@pytest.mark.parametrize("how", ["outside", "no roots", "absent", "link"])
async def test_a_folder_that_is_not_allowed(inbox: Path, tmp_path: Path, how: str):
    (inbox / "a").write_bytes(MESSAGE)
    shelf, path, roots = Shelf(), inbox, [tmp_path]
    if how == "outside":
        roots = [tmp_path / "other"]
        roots[0].mkdir()
    elif how == "no roots":
        roots = []
    elif how == "absent":
        path = tmp_path / "absent"
    else:
        roots = [tmp_path / "root"]
        roots[0].mkdir()
        path = roots[0] / "link"
        path.symlink_to(inbox)
    async with running(folder(shelf, path, roots=roots)) as channel:
        await until(lambda: channel.trouble)
        assert channel.connections() == []
    assert shelf.kept == []
    with contextlib.suppress(FileNotFoundError):
        assert names(inbox) == ["a"]
