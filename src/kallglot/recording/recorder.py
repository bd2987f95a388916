"""The life of recordings: begun with a session, rendered when it has ended, fetched, expired, deleted.

What is still to be done is in the ledger, so that a process that was killed takes it up again. The raw tracks of a
session lie in a folder of this machine and are finished by the process that finds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from kallglot.clock import Clock
from kallglot.ids import RECORDING, new_id
from kallglot.recording.cache import Cache
from kallglot.recording.model import DEFAULT_FORMAT, MASTER, Recording
from kallglot.recording.ports import RecordingLedger
from kallglot.recording.render import Order, Output, Renderer, RenderFailed
from kallglot.recording.shelf import Shelf, ShelfError
from kallglot.recording.tape import Kind, Tape, seconds, tracks
from kallglot.session.model import Session

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 20.0
RENDER_ATTEMPTS: Final = 3
KINDS: Final[dict[str, Kind]] = {"mixed": "said", "heard": "heard"}


class Recorder:
    """Implements :class:`kallglot.session.ports.Recorder`. ``folder`` is this machine's own."""

    def __init__(
        self, ledger: RecordingLedger, shelf: Shelf, folder: Path, clock: Clock, *, retention_days: float
    ) -> None:
        self._ledger = ledger
        self._shelf = shelf
        self._tracks = folder / "tracks"
        self._clock = clock
        self._retention = timedelta(days=retention_days)
        self._renderer = Renderer()
        # Somebody who waits for a download does not wait for an hour's call to be rendered first.
        self._cache = Cache(folder / "cache", shelf, Renderer())
        self._writer = ThreadPoolExecutor(2, "tape")
        self._wake = asyncio.Event()
        self._failures: dict[str, int] = {}
        self._running_tapes: set[str] = set()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._tracks.mkdir(parents=True, exist_ok=True)
        self._running = asyncio.create_task(self._run_forever(), name="recordings")

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        self._writer.shutdown()

    async def begin(self, session: Session, warn: Callable[[str], None]) -> Tape | None:
        now = self._clock.now()
        channels = 1 if session.recording.get("channels") == "mono" else 2
        of = (session.id, session.organization_id, session.livemode)
        try:
            await self._ledger.begin(
                [
                    Recording(new_id(RECORDING), *of, "mixed", "processing", channels, now),
                    Recording(new_id(RECORDING), *of, "heard", "processing", channels, now),
                ]
            )
            folder = self._tracks / session.id
            await asyncio.to_thread(folder.mkdir, exist_ok=True)
        except Exception:
            log.exception("session %s cannot be recorded", session.id)
            return None
        self._running_tapes.add(session.id)
        return Tape(folder, warn, self._writer, partial(self._running_tapes.discard, session.id))

    async def finish(self, session: Session) -> None:
        self._wake.set()

    async def audio(self, recording: Recording, format: str) -> Path:
        """A file with the recording, to be read only. Raises :class:`ShelfError` and :class:`RenderFailed`."""
        return await self._cache.get(recording, format)

    async def delete(self, recording: Recording) -> None:
        """It is gone for everybody when this returns; its files follow."""
        await self._ledger.update(replace(recording, deleted=True))
        self._wake.set()

    # Behind the scenes

    async def _run_forever(self) -> None:
        while True:
            for work in (self.finish_ended, self.remove_overdue):
                try:
                    await work()
                except Exception:
                    log.exception("work on recordings failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            self._wake.clear()

    async def finish_ended(self) -> None:
        """Renders what sessions that have ended left here."""
        for session in await self._ledger.unfinished():
            folder = self._tracks / session.id
            if session.id in self._running_tapes or not folder.is_dir():
                continue
            waiting = [one for one in await self._ledger.of_session(session.id) if one.status == "processing"]
            done = [await self._finish(recording, session, folder) for recording in waiting]
            if all(done):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _finish(self, recording: Recording, session: Session, folder: Path) -> bool:
        """Whether the tracks are no longer needed for it."""
        found = tracks(folder, KINDS[recording.channel])
        if not found:
            await self._ledger.remove(recording.id)
            return True
        work = folder / "work"
        try:
            await self._render(recording, session, folder, work)
        except ShelfError as error:
            # The store will be back; the tracks wait for it here.
            log.warning("recording %s is not on its shelf yet: %s", recording.id, error)
            return False
        except RenderFailed:
            self._failures[recording.id] = self._failures.get(recording.id, 0) + 1
            if self._failures[recording.id] < RENDER_ATTEMPTS:
                return False
            log.error("recording %s has failed; its tracks stay in %s", recording.id, folder)
            gone_at = self._clock.now() + self._retention
            await self._ledger.update(replace(recording, status="failed", expires_at=gone_at, stored=True))
            return False
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
        self._failures.pop(recording.id, None)
        return True

    async def _render(self, recording: Recording, session: Session, folder: Path, work: Path) -> None:
        found = tracks(folder, KINDS[recording.channel])
        await asyncio.to_thread(work.mkdir, exist_ok=True)
        master, default = work / f"audio.{MASTER}", work / f"audio.{DEFAULT_FORMAT}"
        rendered = await self._renderer.render(
            Order(
                (Output(master, MASTER), Output(default, DEFAULT_FORMAT)),
                tracks=tuple(found),
                channels="mono" if recording.channels == 1 else "dual",
                sample_rate_hz=max(track.sample_rate_hz for track in found),
                seconds=max(session.duration_seconds or 0.0, seconds(found)),
            )
        )
        await self._shelf.put(recording.key(MASTER), master)
        await self._shelf.put(recording.key(DEFAULT_FORMAT), default)
        await self._ledger.update(
            replace(
                recording,
                status="ready",
                duration_seconds=round(rendered.seconds, 3),
                size=rendered.sizes[str(default)],
                sample_rate_hz=rendered.sample_rate_hz,
                expires_at=self._clock.now() + self._retention,
                stored=True,
            )
        )

    async def remove_overdue(self) -> None:
        """Takes the files of expired and deleted recordings away."""
        for recording in await self._ledger.overdue(self._clock.now()):
            try:
                await self._shelf.delete(recording.key(MASTER))
                await self._shelf.delete(recording.key(DEFAULT_FORMAT))
            except ShelfError as error:
                log.warning("recording %s cannot be removed yet: %s", recording.id, error)
                continue
            await self._cache.forget(recording.id)
            if recording.status == "failed":
                await asyncio.to_thread(shutil.rmtree, self._tracks / recording.session_id, ignore_errors=True)
            if recording.deleted:
                await self._ledger.remove(recording.id)
            else:
                await self._ledger.update(replace(recording, stored=False))
