"""A folder into which a device or its PC writes one file per message.

A file is taken when it has not changed for a while, stored, and only then moved: to `done/`, or to `failed/` where it
cannot be a message. While the store is away files stay where they are. Links are never followed.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import os
import stat
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from connectors.line import ConnectionState
from connectors.transports.channel import ChannelSetup, Device, Pauses, line_to
from connectors.transports.paths import allowed_path
from domain.clock import utc_now
from domain.device_transport import WatchedFolder

_log = logging.getLogger(__name__)

_LONGEST_LOOK_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 30.0
_MOST_FILES = 200
"""Files taken in one look, oldest first."""
_MOST_ENTRIES = 20_000
_EVIDENCE_BYTES = 4096
"""So much of a file that is too long is kept."""
_LONGEST_NAME = 200


@dataclass(frozen=True)
class _Found:
    """A file as it was when it was looked at."""

    name: str
    size: int
    changed_ns: int
    inode: int


class _Nowhere:
    """Neither end of a folder carries bytes."""

    async def read(self, _n: int = -1, /) -> bytes:
        """Return the end."""
        return b""

    def write(self, data: bytes, /) -> None:
        """Throw bytes away."""

    async def drain(self) -> None:
        """Wait for nothing."""


class Folder:
    """Looks into the folder again and again."""

    transport: ClassVar[str] = "folder"

    def __init__(self, device: Device, setup: ChannelSetup, transport: WatchedFolder) -> None:
        self._device = device
        self._setup = setup
        self._transport = transport
        self._state = ConnectionState(peer=transport.path, local_port=0, since=utc_now(), tap_point=device.tap_point)
        self._line = line_to(device, setup, self._state, (_Nowhere(), _Nowhere()), transport=self.transport)
        self._before: dict[str, _Found] = {}
        self._moves: dict[_Found, str] = {}
        """What is stored and still has to be moved: it is not stored again when moving failed."""
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why the folder cannot be read, or ""."""
        return self._trouble

    def connections(self) -> list[ConnectionState]:
        """Return the folder's counts while it can be read."""
        return [] if self._trouble else [self._state]

    async def run(self) -> None:
        """Look until cancelled."""
        pause = min(self._transport.settled_s / 2, _LONGEST_LOOK_SECONDS)
        pauses = Pauses(_LONGEST_PAUSE_SECONDS)
        while True:
            try:
                is_away = not await self._look()
                self._trouble = ""
            except OSError as error:
                trouble = f"cannot read the folder: {error.strerror or type(error).__name__}"
                if trouble != self._trouble:
                    _log.warning("line to %s: %s", self._device.code, trouble)
                self._trouble = trouble
                is_away = True
            if is_away:
                await pauses.wait()
            else:
                pauses.reset()
                await asyncio.sleep(pause)

    async def _look(self) -> bool:
        """Take the files that have settled; False when the store did not take one.

        Raises:
            OSError: The folder cannot be read, or a file cannot be moved.
        """
        folder = await asyncio.to_thread(self._prepare)
        found = await asyncio.to_thread(_files, folder, self._transport.pattern)
        settled = [file for file in found if self._is_settled(file)]
        self._before = {file.name: file for file in found}
        self._moves = {file: where for file, where in self._moves.items() if file in found}
        for file in settled[:_MOST_FILES]:
            if not await self._take(folder, file):
                return False
        return True

    def _prepare(self) -> Path:
        folder = allowed_path(Path(self._transport.path), self._setup.folder_roots)
        for name in ("done", "failed"):
            (folder / name).mkdir(exist_ok=True)
            if (folder / name).is_symlink():
                raise PermissionError(1, f"{name} is a link")
        return folder

    def _is_settled(self, file: _Found) -> bool:
        """A file has settled when it looks as it did the last time and is old enough; clocks elsewhere may be off."""
        if self._before.get(file.name) != file:
            return False
        age = time.time() - file.changed_ns / 1e9
        return age >= self._transport.settled_s or age < 0

    async def _take(self, folder: Path, file: _Found) -> bool:
        if file not in self._moves and not await self._store(folder, file):
            return False
        if file in self._moves:
            await asyncio.to_thread(_move, folder, file, self._moves[file])
            del self._moves[file]
        return True

    async def _store(self, folder: Path, file: _Found) -> bool:
        """Store a file and note where it goes; False when the store is away."""
        limit = self._setup.limits.max_message_bytes
        reason = f"file longer than {limit} bytes" if file.size > limit else ""
        part = replace(file, size=min(file.size, _EVIDENCE_BYTES if reason else file.size))
        raw = await asyncio.to_thread(_content, folder, part, is_part=bool(reason))
        if raw is None:  # it changed meanwhile, or is no plain file any more
            return True
        if not raw.strip():
            self._moves[file] = "failed"
            return True
        if self._state.tap_point.tap is not None:  # no byte of a folder comes over its line
            self._state.tap_point.tap.keep(self._state, raw, is_sent=False)
        outcome = await self._line.keep(raw if reason else _unwrapped(raw), reason)
        if not outcome.accepted:
            self._state.refused += 1
            return False
        is_good = outcome.readable and not reason
        self._state.acknowledged += is_good
        self._moves[file] = "done" if is_good else "failed"
        if not is_good:
            _log.warning("line to %s: a file is put aside: %s", self._device.code, reason or outcome.note)
        return True


def _unwrapped(raw: bytes) -> bytes:
    """Return an HL7 message without the marks that some programs write around it, else the bytes as they are."""
    if raw[:1] == b"\x0b":
        return raw[1:].rstrip(b"\r\n").removesuffix(b"\x1c")
    return raw


def _files(folder: Path, pattern: str) -> list[_Found]:
    """Return plain files that match, oldest first; never links, folders or devices."""
    found = []
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= _MOST_ENTRIES:
                break
            if len(entry.name) > _LONGEST_NAME or not fnmatch.fnmatchcase(entry.name, pattern):
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and not entry.name.startswith("."):
                found.append(_Found(entry.name, status.st_size, status.st_mtime_ns, status.st_ino))
    return sorted(found, key=lambda file: (file.changed_ns, file.name))


def _content(folder: Path, file: _Found, *, is_part: bool = False) -> bytes | None:
    """Return the bytes of exactly the file that was found, None if it is another one by now."""
    try:
        handle = os.open(folder / file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(stream.fileno())
        is_same = (status.st_ino, status.st_mtime_ns) == (file.inode, file.changed_ns)
        if not stat.S_ISREG(status.st_mode) or not is_same:
            return None
        raw = stream.read(file.size if is_part else file.size + 1)
        return raw if len(raw) == file.size else None


def _move(folder: Path, file: _Found, where: str) -> None:
    """Move a file; one of the same name that is there already keeps its place.

    What was written under the name while the file was being stored is another message: it stays and is taken later.
    """
    source = folder / file.name
    status = source.lstat()
    if (status.st_ino, status.st_size, status.st_mtime_ns) != (file.inode, file.size, file.changed_ns):
        return
    target = folder / where / file.name
    if target.exists():
        target = folder / where / f"{time.time_ns()}-{file.name}"
    source.rename(target)
