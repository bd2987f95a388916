"""Fetching files over HTTP: the sockets and the clock around :mod:`kallglot.models.transfer`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import urljoin, urlsplit

from kallglot.models.catalogue import Remote
from kallglot.models.crc32c import crc32c_of
from kallglot.models.errors import DownloadError, WrongContent
from kallglot.models.partial import Partial
from kallglot.models.plan import in_bytes, mirrored
from kallglot.models.transfer import (
    Answer,
    Changed,
    Journal,
    Later,
    Manners,
    Never,
    Pace,
    Patience,
    Span,
    Take,
    headers_for,
    judge,
)

if TYPE_CHECKING:
    import httpx

_WORTH_NOTING: Final = 64 * 1024
"""Bytes: a try that brought fewer did not get on."""
_WORTH_A_NOTE: Final = 10_000_000
"""Bytes whose reading takes a moment."""
_REDIRECTS: Final = {301, 302, 303, 307, 308}


class Report(Protocol):
    """Who is told how it goes. Nothing of it may raise."""

    def progress(self, remote: Remote, done: int, total: int | None) -> None: ...

    def waiting(self, remote: Remote, seconds: float, why: str) -> None: ...

    def note(self, words: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Fetched:
    path: Path
    """In the downloads folder, to be moved away or read."""
    size: int
    sha256: str


class _Again(Exception):
    """This try has failed; another one may not."""

    def __init__(self, why: str, seconds: float | None = None, *, fewer: bool = False) -> None:
        super().__init__(why)
        self.seconds, self.fewer = seconds, fewer


class _StartOver(Exception):
    """What was fetched so far is of no use."""

    def __init__(self, why: str, *, ranges: bool) -> None:
        super().__init__(why)
        self.ranges = ranges


class Fetcher:
    """Fetches into a folder, goes on there with what was left, and never has more than so many connections."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        folder: Path,
        report: Report,
        *,
        manners: Manners,
        mirror: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._folder = folder
        self._report = report
        self._manners = manners
        self._mirror = mirror
        self._clock, self._sleep, self._luck = clock, sleep, luck
        self._connections = asyncio.Semaphore(manners.connections)

    async def fetch(self, remote: Remote, expected: str | None) -> Fetched:
        """Fetches a file whole and checks its size, its CRC-32C where known and, where ``expected``, its SHA-256.

        Raises :class:`DownloadError`. What there is stays for the next time, unless it is wrong.
        """
        try:
            partial = Partial(self._folder, remote.url)
        except OSError as error:
            raise DownloadError(_disk_trouble(error, self._folder)) from error
        try:
            sha256 = await self._right(remote, partial, expected)
            total = partial.journal.total or 0
            return Fetched(await asyncio.to_thread(partial.hand_over), total, sha256)
        except OSError as error:
            raise DownloadError(_disk_trouble(error, partial.path)) from error
        finally:
            with contextlib.suppress(OSError):
                partial.keep(_checked(remote, expected))
            partial.close()

    async def _right(self, remote: Remote, partial: Partial, expected: str | None) -> str:
        """The checksum of the whole file. A wrong one is fetched anew once, in one piece: parts may have been mixed."""
        for once_more in (True, False):
            patched = partial.journal.done > 0
            await self._whole(remote, partial, _checked(remote, expected))
            if (partial.journal.total or 0) >= _WORTH_A_NOTE:
                self._report.note(f"{remote.path}: checking")
            sha256 = await asyncio.to_thread(partial.sha256)
            crc32c = None if remote.crc32c is None else await asyncio.to_thread(crc32c_of, partial.path)
            if expected in (None, sha256) and crc32c == remote.crc32c:
                return sha256
            patched = patched or len(partial.journal.spans) > 1
            partial.wipe(ranges=False)
            if not (once_more and patched):
                break
            self._report.note(f"{remote.path} is damaged: fetching it once more, in one piece")
        told = ("SHA-256", sha256, expected) if expected not in (None, sha256) else ("CRC-32C", crc32c, remote.crc32c)
        raise WrongContent(
            f"{remote.path} from {self._url(remote)} is not the file that was expected: its {told[0]} is {told[1]}, "
            f"it should be {told[2]}"
        )

    async def _whole(self, remote: Remote, partial: Partial, checksum_known: bool) -> None:
        journal = partial.journal
        if journal.complete and checksum_known:
            return
        if not journal.resumable(checksum_known):
            partial.wipe(ranges=journal.ranges)
        # Whole since an earlier try: the model's other files may be newer by now.
        unsure = journal.complete
        patience, tries = Patience(self._manners), 0
        while unsure or not journal.complete:
            before, tries = journal.done, tries + 1
            try:
                if unsure:
                    async with self._connections, self._get(remote, journal, 0, 1):
                        unsure = False
                else:
                    await self._round(remote, partial, checksum_known)
            except _StartOver as error:
                partial.wipe(ranges=error.ranges)
                unsure = False
                patience, why, asked = patience.failed(), str(error), None
            except _Again as error:
                if error.fewer:
                    self._connections = asyncio.Semaphore(1)
                if not journal.resumable(checksum_known):
                    partial.wipe(ranges=journal.ranges)
                got_on = journal.done - before >= _WORTH_NOTING
                patience = (patience.got_on() if got_on else patience).failed()
                why, asked = str(error), error.seconds
            else:
                continue
            if patience.exhausted or tries >= self._manners.total_tries:
                raise DownloadError(f"{self._url(remote)} could not be fetched in {tries} tries: {why}")
            await self._pause(remote, patience, why, asked)
        partial.cut(journal.total or 0)

    async def _pause(self, remote: Remote, patience: Patience, why: str, asked: float | None) -> None:
        seconds = patience.wait(self._luck(), asked)
        if seconds is None:
            raise DownloadError(f"{self._url(remote)}: {why}, for {asked:.0f} seconds more: try again later")
        self._report.waiting(remote, seconds, why)
        await self._sleep(seconds)

    async def _round(self, remote: Remote, partial: Partial, checksum_known: bool) -> None:
        """Brings the file as far as one connection for each span gets it. Raises what says how to go on."""
        journal = partial.journal
        if journal.total is None:
            await self._first(remote, partial, checksum_known)
        failed: BaseException | None = None
        tasks = [asyncio.create_task(self._span(remote, partial, span)) for span in journal.spans if not span.complete]
        try:
            for task in asyncio.as_completed(tasks):
                try:
                    await task
                except _Again as error:
                    # The others go on; what they get is not lost.
                    failed = error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if failed is not None:
            raise failed

    async def _first(self, remote: Remote, partial: Partial, checksum_known: bool) -> None:
        """Finds out how the file can be had; a small one, or one that comes only whole, is had at once."""
        journal, manners = partial.journal, self._manners
        probe = journal.ranges and (remote.size is None or remote.size >= 2 * manners.smallest_part)
        async with self._connections, self._get(remote, journal, 0 if probe else None, 1) as (response, verdict):
            if verdict.ranged:
                journal.validator = Answer.of(response.status_code, response.headers).validator
                sound = journal.validator is not None or checksum_known
                journal.split(verdict.total or 0, manners.connections if sound else 1, manners.smallest_part)
                return
            journal.validator = Answer.of(response.status_code, response.headers).validator
            span = journal.spans[0]
            if verdict.total and journal.ranges and (journal.validator is not None or checksum_known):
                # From now on what is cut off goes on where it was; a server that sends no parts says so then.
                journal.split(verdict.total, 1, manners.smallest_part)
                span = journal.spans[0]
            await self._body(remote, partial, span, response, verdict.total)
            if verdict.total is not None and span.done < verdict.total:
                raise _Again(f"the server ended after {in_bytes(span.done)} of {in_bytes(verdict.total)}")
            span.end = journal.total = span.done

    async def _span(self, remote: Remote, partial: Partial, span: Span) -> None:
        async with self._connections, self._get(remote, partial.journal, span.at, span.end) as (response, verdict):
            if not verdict.ranged:
                raise _StartOver("the server sends everything instead of a part", ranges=False)
            await self._body(remote, partial, span, response, span.end)
            if not span.complete:
                raise _Again(f"the server ended at byte {span.at} of {span.end}")

    async def _body(
        self, remote: Remote, partial: Partial, span: Span, response: httpx.Response, end: int | None
    ) -> None:
        """Writes what comes where ``span`` has got to. Raises _Again for a connection that breaks or crawls."""
        import httpx

        pace, unsaved, limit = Pace(self._manners, self._clock()), 0, end or self._manners.largest
        stream = response.aiter_raw()
        try:
            async for chunk in stream:
                if span.at + len(chunk) > limit:
                    if partial.journal.total is not None:
                        raise _StartOver("the server sends more than it was asked for", ranges=False)
                    raise DownloadError(f"{self._url(remote)} is longer than the {limit} bytes that it should have")
                partial.write(span.at, chunk)
                span.done += len(chunk)
                unsaved += len(chunk)
                self._report.progress(remote, partial.journal.done, partial.journal.total or end)
                if pace.too_slow(len(chunk), self._clock()):
                    raise _Again(f"the server sends less than {self._manners.slowest} bytes a second")
                if unsaved >= self._manners.save_after and partial.journal.total is not None:
                    unsaved = 0
                    await asyncio.to_thread(partial.save)
        except httpx.HTTPError as error:
            raise _Again(_transport_trouble(error)) from error

    @asynccontextmanager
    async def _get(
        self, remote: Remote, journal: Journal, at: int | None, end: int | None
    ) -> AsyncGenerator[tuple[httpx.Response, Take]]:
        """An answer whose body is worth reading. Raises DownloadError, _Again, _StartOver."""
        import httpx

        asked = at if journal.ranges else None
        try:
            async with self._followed(self._url(remote), headers_for(journal, asked, end)) as response:
                answer = Answer.of(response.status_code, response.headers)
                verdict = judge(answer, journal, asked, size=remote.size, now=datetime.now(UTC))
                match verdict:
                    case Never(why):
                        raise DownloadError(f"{self._url(remote)}: {why}")
                    case Later(why, seconds, fewer):
                        raise _Again(why, seconds, fewer=fewer)
                    case Changed(why, ranges):
                        raise _StartOver(why, ranges=ranges)
                    case _:
                        yield response, verdict
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if _hopeless(error):
                raise DownloadError(f"{self._url(remote)}: {_transport_trouble(error)}") from error
            raise _Again(_transport_trouble(error)) from error

    @asynccontextmanager
    async def _followed(self, url: str, headers: dict[str, str]) -> AsyncGenerator[httpx.Response]:
        for _ in range(self._manners.redirects + 1):
            async with self._client.stream("GET", url, headers=headers) as response:
                if response.status_code not in _REDIRECTS:
                    yield response
                    return
                location = response.headers.get("location", "")
            try:
                target = urljoin(url, location)
                parts = urlsplit(target)
            except ValueError:
                raise DownloadError(f"{url} redirects to nowhere") from None
            if parts.scheme not in ("https", "http") or not parts.hostname or target == url:
                raise DownloadError(f"{url} redirects to nowhere")
            if urlsplit(url).scheme == "https" and parts.scheme != "https":
                raise DownloadError(f"{url} redirects to an address without encryption")
            url = target
        raise DownloadError(f"{url}: more than {self._manners.redirects} redirects")

    def _url(self, remote: Remote) -> str:
        return mirrored(remote.url, self._mirror)


def _checked(remote: Remote, expected: str | None) -> bool:
    """Whether it would be noticed that the file was put together of two."""
    return expected is not None or remote.crc32c is not None


def client(manners: Manners, version: str) -> httpx.AsyncClient:
    """Honours the proxies and certificates of the environment."""
    import httpx

    return httpx.AsyncClient(
        timeout=httpx.Timeout(manners.timeout),
        limits=httpx.Limits(max_connections=manners.connections * 2),
        headers={"User-Agent": f"kallglot/{version}", "Accept-Encoding": "identity"},
        follow_redirects=False,
    )


def _hopeless(error: BaseException) -> bool:
    import httpx

    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return True
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _transport_trouble(error: Exception) -> str:
    import httpx

    match error:
        case httpx.ConnectTimeout():
            return "no connection could be made in time"
        case httpx.TimeoutException():
            return "the server went silent"
        case httpx.ConnectError():
            return f"no connection could be made ({_system_said(error) or error})"
        case httpx.RemoteProtocolError() | httpx.ReadError():
            return f"the connection broke ({str(error) or type(error).__name__})"
        case _:
            return f"{type(error).__name__}: {error}"


def _system_said(error: BaseException) -> str | None:
    """What the operating system gave as the reason, below what libraries have put on it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, BaseExceptionGroup):
            cause = cast("BaseExceptionGroup[BaseException]", cause).exceptions[0]
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return None


def _disk_trouble(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {path.parent}; what was fetched so far is kept"
    return f"{error.filename or path} cannot be written: {error.strerror or error}"
