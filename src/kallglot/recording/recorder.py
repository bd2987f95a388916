"""The life of recordings: begun with a session, rendered when it has ended, fetched, expired, deleted.

What is still to be done is in the ledger, so that a process that was killed takes it up again. The raw tracks of a
session lie in a folder of this machine and are finished by the process that finds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
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
from kallglot.recording.model import DEFAULT_FORMAT, MASTER, Recording, key_of
from kallglot.recording.ports import RecordingLedger
from kallglot.recording.render import Order, Output, Renderer, RenderFailed
from kallglot.recording.shelf import Shelf, ShelfError
from kallglot.recording.tape import Kind, Tape, seconds, tracks
from kallglot.session.model import Session
from kallglot.work import Observe, Work, unobserved

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 20.0
AT_A_TIME: Final = 8
"""Sessions; one child renders them all, one after the other."""
RENDER_ATTEMPTS: Final = 3
REFUSALS: Final = 3
"""In a row, after which the shelf is asked for no more of its files to be deleted this time."""
SOME: Final = 500
"""Identifiers in one question to the database."""
KINDS: Final[dict[str, Kind]] = {"mixed": "said", "heard": "heard"}


class Recorder:
    """Implements :class:`kallglot.session.ports.Recorder`. ``folder`` is this machine's own."""

    def __init__(
        self,
        ledger: RecordingLedger,
        shelf: Shelf,
        folder: Path,
        clock: Clock,
        *,
        retention_days: float,
        observe: Observe = unobserved,
    ) -> None:
        self._ledger = ledger
        self._shelf = shelf
        self._tracks = folder / "tracks"
        self._clock = clock
        self._observe = observe
        self._retention = timedelta(days=retention_days)
        self._renderer = Renderer()
        # Somebody who waits for a download does not wait for an hour's call to be rendered first.
        self._cache = Cache(folder / "cache", shelf, Renderer())
        self._writer = ThreadPoolExecutor(2, "tape")
        self._wake = asyncio.Event()
        self._failures: dict[str, int] = {}
        self._running_tapes: set[str] = set()
        self._shelf_away = False
        self._refused = False
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await asyncio.to_thread(self._tracks.mkdir, parents=True, exist_ok=True)
        await self._cache.tidy()
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
        folder = self._tracks / session.id
        self._running_tapes.add(session.id)
        try:
            await asyncio.to_thread(folder.mkdir, exist_ok=True)
            await self._ledger.begin(
                [
                    Recording(new_id(RECORDING), *of, "mixed", "processing", channels, now),
                    Recording(new_id(RECORDING), *of, "heard", "processing", channels, now),
                ]
            )
        except Exception:
            log.exception("session %s cannot be recorded", session.id)
            self._running_tapes.discard(session.id)
            return None
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

    def look(self) -> None:
        """There is something to be taken away."""
        self._wake.set()

    # Behind the scenes

    async def _run_forever(self) -> None:
        # A store that is not to be had is said at the start, not with the first recording.
        self._shelf_away = True
        while True:
            for work in (self.finish_ended, self.remove_overdue, self.remove_erased, self.sweep):
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
        if not await self._shelf_answers():
            return
        unfinished = [session for session in await self._ledger.unfinished() if self._is_here(session)]
        for at in range(0, len(unfinished), AT_A_TIME):
            await asyncio.gather(*map(self._finish_session, unfinished[at : at + AT_A_TIME]))
            if self._shelf_away:
                break

    def _is_here(self, session: Session) -> bool:
        return session.id not in self._running_tapes and (self._tracks / session.id).is_dir()

    async def _finish_session(self, session: Session) -> None:
        folder = self._tracks / session.id
        try:
            for recording in await self._ledger.of_session(session.id):
                if recording.status == "processing" and not self._shelf_away:
                    await self._finish(recording, session, folder)
            await self._let_go(folder)
        except Exception:
            log.exception("the recordings of session %s could not be finished", session.id)

    async def _shelf_answers(self) -> bool:
        """A store that was away is asked, before anything is rendered for it again."""
        if self._shelf_away:
            try:
                await self._shelf.check()
                self._shelf_away = self._refused = False
            except ShelfError as error:
                self._refused = True
                log.warning("recordings wait for their shelf: %s", error)
        return not self._shelf_away

    async def _finish(self, recording: Recording, session: Session, folder: Path) -> None:
        work, began = folder / "work", time.monotonic()
        try:
            if await asyncio.to_thread(tracks, folder, KINDS[recording.channel]):
                await self._render(recording, session, folder, work)
                self._done(recording, began, "ok")
            else:
                await self._ledger.remove(recording.id)
            self._failures.pop(recording.id, None)
        except ShelfError as error:
            # The store will be back; the tracks wait for it here.
            log.warning("recording %s is not on its shelf yet: %s", recording.id, error)
            self._shelf_away = self._refused = True
            self._done(recording, began, "shelf_away")
        except OSError as error:
            log.warning("recording %s cannot be made yet: %s", recording.id, error)
            self._done(recording, began, "disk")
        except RenderFailed:
            self._done(recording, began, "failed")
            failures = self._failures[recording.id] = self._failures.get(recording.id, 0) + 1
            if failures >= RENDER_ATTEMPTS:
                log.error("recording %s has failed; its tracks stay in %s", recording.id, folder)
                gone_at = self._clock.now() + await self._kept(recording)
                await self._ledger.update(replace(recording, status="failed", expires_at=gone_at, stored=True))
                del self._failures[recording.id]
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)

    @property
    def shelf_away(self) -> bool:
        """The place where recordings are kept did not answer when it was last needed."""
        return self._refused

    def _done(self, recording: Recording, began: float, outcome: str) -> None:
        self._observe(
            Work(
                "recording",
                recording.channel,
                outcome,
                self._clock.now(),
                time.monotonic() - began,
                failed=outcome != "ok",
                session_id=recording.session_id,
                about={"kallglot.recording.id": recording.id},
            )
        )

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
        if self._shelf_away:
            raise ShelfError("another of its recordings found it away")
        await self._shelf.put(recording.key(MASTER), master)
        await self._shelf.put(recording.key(DEFAULT_FORMAT), default)
        kept = await self._ledger.update(
            replace(
                recording,
                status="ready",
                duration_seconds=round(rendered.seconds, 3),
                size=rendered.sizes[str(default)],
                sample_rate_hz=rendered.sample_rate_hz,
                expires_at=self._clock.now() + await self._kept(recording),
                stored=True,
            )
        )
        if not kept:
            await self._unshelve(recording.id)

    async def remove_overdue(self) -> None:
        """Takes the files of expired and deleted recordings away."""
        refused = 0
        for recording in await self._ledger.overdue(self._clock.now()):
            try:
                await self._unshelve(recording.id)
            except ShelfError as error:
                log.warning("recording %s cannot be removed yet: %s", recording.id, error)
                refused += 1
                if refused >= REFUSALS:
                    break
                continue
            refused = 0
            await self._cache.forget(recording.id)
            if recording.deleted:
                await self._ledger.remove(recording.id)
            else:
                await self._ledger.unshelved(recording.id)

    async def remove_erased(self) -> None:
        """Takes the files of deleted sessions away, as often as it takes."""
        refused = 0
        for recording_id in await self._ledger.removals(self._clock.now()):
            await self._cache.forget(recording_id)
            try:
                await self._unshelve(recording_id)
            except ShelfError as error:
                log.warning("recording %s, of a deleted session, cannot be removed yet: %s", recording_id, error)
                refused += 1
                if refused >= REFUSALS:
                    break
                continue
            refused = 0
            await self._ledger.removed(recording_id, self._clock.now())

    async def _unshelve(self, recording_id: str) -> None:
        for format in (MASTER, DEFAULT_FORMAT):
            await self._shelf.delete(key_of(recording_id, format))

    async def _kept(self, recording: Recording) -> timedelta:
        days = await self._ledger.kept_days(recording.organization_id)
        return self._retention if days is None else timedelta(days=days)

    async def sweep(self) -> None:
        """Takes away what nobody needs any more: a process was killed before it did, or another machine's process
        has deleted the recording."""
        for folder in await asyncio.to_thread(_folders, self._tracks):
            await self._let_go(folder)
        cached = sorted(await self._cache.kept())
        for at in range(0, len(cached), SOME):
            some = cached[at : at + SOME]
            for recording_id in set(some) - await self._ledger.stored(some):
                await self._cache.forget(recording_id)

    async def _let_go(self, folder: Path) -> None:
        """Removes a session's tracks, unless a recording is still to be made of them or has failed."""
        if folder.name in self._running_tapes:
            return
        known = await self._ledger.of_session(folder.name)
        if any(one.status == "processing" or (one.status == "failed" and one.stored) for one in known):
            return
        if folder.name not in self._running_tapes:
            known_or_erased = bool(known) or await self._ledger.erased(folder.name)
            await asyncio.to_thread(_remove, folder, None if known_or_erased else self._retention.total_seconds())


def _folders(parent: Path) -> list[Path]:
    return [one for one in parent.iterdir() if one.is_dir()] if parent.is_dir() else []


def _remove(folder: Path, unless_younger_s: float | None) -> None:
    """Sound that the database knows nothing of is kept as long as any: it may be the wrong database."""
    with contextlib.suppress(OSError):
        files = [one for one in folder.iterdir() if one.is_file()]
        newest = max((one.stat().st_mtime for one in files), default=0.0)
        if unless_younger_s is None or time.time() - newest > unless_younger_s:
            shutil.rmtree(folder, ignore_errors=True)
