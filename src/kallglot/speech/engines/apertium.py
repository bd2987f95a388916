"""Apertium: rule-based translation between related languages, by the programs of its Debian packages.

Each direction is a chain of a dozen small programs joined by pipes, as its mode file lists them. A chain is started
with its first text and kept warm: with ``-z`` each program flushes at a NUL, so that a text takes milliseconds. The
programs are GPL and stay processes of their own. See https://wiki.apertium.org/wiki/Apertium_stream_format and
https://wiki.apertium.org/wiki/NUL_flush.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from kallglot.speech.languages import base, two_letters
from kallglot.speech.sentences import split
from kallglot.speech.types import EngineError, Hints

log = logging.getLogger(__name__)

MODES_DIR: Final = Path("/usr/share/apertium/modes")
LONGEST_TEXT: Final = 20_000
LONGEST_PIECE: Final = 1_000
"""Longer than sentences are: what is cut inside a clause loses its grammar, and is written large where it goes on."""
WAITING: Final = 64

_NULL_FLUSHING: Final = frozenset(
    (
        *("lt-proc", "lrx-proc", "lsx-proc", "cg-proc", "rtx-proc", "hfst-proc"),
        *("apertium-tagger", "apertium-pretransfer", "apertium-anaphora", "apertium-wblank-attach"),
        *("apertium-transfer", "apertium-interchunk", "apertium-postchunk", "apertium-posttransfer"),
    )
)
_MODE_NAME: Final = re.compile(r"([a-z]{2,3})(_\w+)?-([a-z]{2,3})(_\w+)?")


class ApertiumTranslator:
    """Translates between the languages of the installed pairs; ``pairs`` holds them as base languages of BCP 47.

    One text at a time passes a chain; up to 64 wait. A chain that dies or says nothing for ``timeout_s`` is replaced
    and its text tried once more.
    """

    name = "apertium"
    quality = "rule-based: understandable, not idiomatic"

    def __init__(
        self,
        modes_dir: Path = MODES_DIR,
        *,
        timeout_s: float = 2.0,
        start_timeout_s: float = 20.0,
        waiting: int = WAITING,
    ) -> None:
        self._modes_dir = modes_dir
        self._modes = discover(modes_dir)
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._waiting = waiting
        self._directions: dict[tuple[str, str], _Direction] = {}
        self._closed = False

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        return frozenset(self._modes)

    def missing(self) -> str | None:
        if not self._modes_dir.is_dir() or shutil.which("lt-proc") is None:
            return "apertium is not installed: apt-get install apertium apertium-eng-spa"
        if not self._modes:
            return f"apertium has no language pair in {self._modes_dir}: apt-get install apertium-eng-spa"
        return None

    async def start(self) -> None:
        """Looks again for pairs. Chains start with the first text of their direction, or by :meth:`warm`."""
        self._modes = await asyncio.to_thread(discover, self._modes_dir)
        self._closed = False

    async def warm(self, source: str, target: str) -> None:
        """Returns when the chain of this direction is ready. Raises :class:`EngineError`."""
        await self._direction(source, target).translate([("", "")])

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        direction = self._direction(source, target)
        if len(text) > LONGEST_TEXT:
            raise EngineError(f"apertium: expected at most {LONGEST_TEXT} characters, got {len(text)}")
        if not text.strip():
            return ""
        return await direction.translate(split(text.strip(), LONGEST_PIECE))

    async def close(self) -> None:
        """Ends every chain; what still waits fails."""
        self._closed = True
        directions, self._directions = self._directions, {}
        await asyncio.gather(*(direction.close() for direction in directions.values()))

    def _direction(self, source: str, target: str) -> _Direction:
        if self._closed:
            raise EngineError("apertium: closed")
        pair = base(source), base(target)
        direction = self._directions.get(pair)
        if direction is None:
            stages = self._modes.get(pair)
            if stages is None:
                raise EngineError(f"apertium: no pair {pair[0]} to {pair[1]} is installed")
            label = f"apertium {pair[0]}-{pair[1]}"
            direction = _Direction(label, stages, self._timeout_s, self._start_timeout_s, self._waiting)
            self._directions[pair] = direction
        return direction


def discover(modes_dir: Path) -> dict[tuple[str, str], list[list[str]]]:
    """The pairs of a folder of mode files, each with the command lines of its stages."""
    found: dict[tuple[str, str], list[list[str]]] = {}
    # Regional variants (spa-eng_US) sort behind the plain mode of their pair and only stand in where there is none.
    for path in sorted(modes_dir.glob("*.mode"), key=lambda path: (path.stem.count("_"), path.stem)):
        name = _MODE_NAME.fullmatch(path.stem)
        if name is None:
            continue
        source, target = two_letters(name[1]), two_letters(name[3])
        try:
            stages = parse_mode(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            log.info("apertium mode %s is not used: %s", path, error)
            continue
        found.setdefault((source, target), stages)
    return found


def parse_mode(text: str) -> list[list[str]]:
    """Command lines of a mode file's pipeline, NUL-flushing and without marks on unknown words.

    Raises ValueError for a stage whose program is not known to flush at NUL, or is not installed.
    """
    stages: list[list[str]] = []
    for stage in text.strip().split("|"):
        words = shlex.split(stage)
        if not words or words[0] not in _NULL_FLUSHING:
            raise ValueError(f"expected a program that flushes at NUL, got {stage.strip()!r}")
        if shutil.which(words[0]) is None:
            raise ValueError(f"{words[0]} is not installed")
        # $1 is the generator's mode: -n leaves no mark on a word that it does not know. $2 only adds debugging output.
        generate = "-n" if words[0] == "lt-proc" else "-g"
        options = [generate if word == "$1" else word for word in words[1:] if word != "$2"]
        stages.append([words[0], "-z", *options])
    return stages


class _Direction:
    """The texts waiting for one chain, and the task that takes them through it one by one."""

    def __init__(
        self, label: str, stages: Sequence[Sequence[str]], timeout_s: float, start_timeout_s: float, waiting: int
    ) -> None:
        self._label = label
        self._stages = stages
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._jobs: asyncio.Queue[tuple[list[tuple[str, str]], asyncio.Future[str]]] = asyncio.Queue(waiting)
        self._chain: _Chain | None = None
        self._worker: asyncio.Task[None] | None = None
        self._working: asyncio.Future[str] | None = None

    async def translate(self, pieces: list[tuple[str, str]]) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        try:
            self._jobs.put_nowait((pieces, answer))
        except asyncio.QueueFull:
            raise EngineError(f"{self._label}: busy, {self._jobs.maxsize} texts are waiting") from None
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name=self._label)
        return await answer

    async def close(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        while not self._jobs.empty():
            self._fail(self._jobs.get_nowait()[1])
        if self._working is not None:
            self._fail(self._working)

    def _fail(self, answer: asyncio.Future[str]) -> None:
        if not answer.done():
            answer.set_exception(EngineError(f"{self._label}: closed"))

    async def _work(self) -> None:
        # Apart from its callers, so that a caller who gives up does not leave half an answer in the pipe.
        try:
            while True:
                pieces, answer = await self._jobs.get()
                if answer.done():
                    continue
                self._working = answer
                try:
                    text = "".join([await self._piece(piece) + space for piece, space in pieces])
                except EngineError as error:
                    if not answer.done():
                        answer.set_exception(error)
                except Exception as error:
                    log.exception("%s failed", self._label)
                    if not answer.done():
                        answer.set_exception(EngineError(f"{self._label}: {error}"))
                else:
                    if not answer.done():
                        answer.set_result(text)
                self._working = None
        finally:
            await self._stop()

    async def _piece(self, text: str) -> str:
        if self._chain is not None and not text.strip():
            return ""
        hidden = _Hidden(text)
        translated = hidden.restore(await self._plain(hidden.text))
        return await self._plain(text) if translated is None else translated

    async def _plain(self, text: str) -> str:
        # The taggers know where a sentence ends by its full stop, and read an unfinished one differently.
        finished = text.rstrip()[-1:] in tuple(".!?…:;")
        answer = await self._ask(_escape(text if finished else text + "."))
        # A word that the grammar drops leaves its space behind.
        answer = _SPACES.sub(" ", _unescape(answer)).strip()
        return answer if finished else answer.removesuffix(".").rstrip()

    async def _ask(self, stream: str) -> str:
        request = stream.encode("utf-8", errors="replace")
        for attempt in (1, 2):
            try:
                if self._chain is None:
                    self._chain = await _Chain.start(self._stages)
                    async with asyncio.timeout(self._start_timeout_s):
                        await self._chain.ask(b".")
                async with asyncio.timeout(self._timeout_s):
                    return (await self._chain.ask(request)).decode("utf-8", errors="replace")
            except TimeoutError:
                failure = "did not answer in time"
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                failure = f"broke ({type(error).__name__})"
            log.warning("%s %s at attempt %d of 2; it is started again", self._label, failure, attempt)
            await self._stop()
        raise EngineError(f"{self._label} {failure}, twice")

    async def _stop(self) -> None:
        chain, self._chain = self._chain, None
        if chain is not None:
            await chain.stop()


class _Chain:
    """The running programs of one direction, first to last."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process]) -> None:
        self._processes = processes
        self._asked = 0

    @classmethod
    async def start(cls, stages: Sequence[Sequence[str]]) -> _Chain:
        # The programs read UTF-8 only under a locale that says so.
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        processes: list[asyncio.subprocess.Process] = []
        stdin = asyncio.subprocess.PIPE
        try:
            for stage in stages:
                following = -1
                stdout = asyncio.subprocess.PIPE
                if stage is not stages[-1]:
                    following, stdout = os.pipe()
                try:
                    process = await asyncio.create_subprocess_exec(
                        *stage,
                        stdin=stdin,
                        stdout=stdout,
                        stderr=asyncio.subprocess.DEVNULL,
                        env=environment,
                        start_new_session=True,
                        limit=1 << 20,
                    )
                    processes.append(process)
                finally:
                    for end in (stdin, stdout):
                        if end >= 0:
                            os.close(end)
                    stdin = following
        except BaseException:
            if stdin >= 0:
                os.close(stdin)
            await cls(processes).stop()
            raise
        return cls(processes)

    async def ask(self, request: bytes) -> bytes:
        """One text through the chain. Raises OSError or IncompleteReadError when it is broken."""
        entry, exit_ = self._processes[0].stdin, self._processes[-1].stdout
        assert entry is not None
        assert exit_ is not None
        # Formatting in brackets passes unchanged. Programs behind one that died still end what they have with a NUL, as
        # if it were the answer; only one that has its mark at the end is whole.
        self._asked += 1
        mark = b"[%d]" % self._asked
        # A piece is far smaller than a pipe, so that writing it never waits for reading the answer.
        entry.write(request + mark + b"\0")
        await entry.drain()
        answer = (await exit_.readuntil(b"\0"))[:-1].rstrip()
        if not answer.endswith(mark):
            raise ConnectionResetError("the answer was cut off")
        return answer.removesuffix(mark)

    async def stop(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
                with contextlib.suppress(OSError):
                    await process.stdin.wait_closed()
            if process.stdout is not None:
                with contextlib.suppress(OSError):
                    await process.stdout.read()
            await process.wait()


_SPECIAL: Final = re.compile(r"([\\\[\]{}^$/<>@])")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_SPACES: Final = re.compile(" {2,}")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", _CONTROL.sub(" ", text))


def _unescape(stream: str) -> str:
    return _ESCAPED.sub(r"\1", stream)


_OPAQUE: Final = re.compile(
    r"(?:https?://|www\.)\S*[\w/]"
    r"|[\w.+-]+@[\w.-]*\w"
    r"|\b(?=[A-Z0-9-]*[A-Z])(?=[A-Z0-9-]*[0-9])[A-Z0-9]+(?:-[A-Z0-9]+)*\b"
    r"|\S*[~_^\\{}<>|]\S*"
)


class _Hidden:
    """A text whose addresses, codes and markup are stood in for by words that no dictionary knows.

    The programs would take such things apart, and translate or lose their parts.
    """

    def __init__(self, text: str) -> None:
        self._names = _stand_ins(text.lower())
        self._shown: dict[str, str] = {}
        self.text = _OPAQUE.sub(self._hide, text)

    def _hide(self, thing: re.Match[str]) -> str:
        name = next(self._names)
        self._shown[name] = thing.group()
        return name

    def restore(self, translated: str) -> str | None:
        """The translation with everything shown again; None where something was lost or doubled on the way."""
        if not self._shown:
            return translated
        seen: list[str] = []

        def show(found: re.Match[str]) -> str:
            seen.append(found.group().lower())
            return self._shown[seen[-1]]

        shown = re.sub("|".join(self._shown), show, translated, flags=re.IGNORECASE)
        return shown if sorted(seen) == sorted(self._shown) else None


def _stand_ins(avoid: str) -> Iterator[str]:
    letters = "bcdfghjklm"
    for number in range(10**4):
        name = "xqw" + "".join(letters[int(digit)] for digit in f"{number:04d}") + "x"
        if name not in avoid:
            yield name
