"""espeak-ng: formant synthesis in a hundred languages; robotic, but with the first audio after a few milliseconds.

The program is GPL and stays a process of its own: one a text, started in about 10 ms. See ``man espeak-ng``.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from kallglot.speech.languages import base
from kallglot.speech.sentences import split
from kallglot.speech.types import EngineError, Voice

LONGEST_TEXT: Final = 20_000
LONGEST_PIECE: Final = 1_000
AT_ONCE: Final = 4
WAITING: Final = 64

_NORMAL_WORDS_PER_MINUTE: Final = 175
_CHUNK: Final = 8_192
_HEADER: Final = 44
_VARIANT: Final = re.compile(r"\+[A-Za-z0-9_-]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]+")


class EspeakSynthesizer:
    """Speaks every language that the installed espeak-ng has a voice for, at about -21 dBFS, 22,050 Hz.

    ``Voice.name`` may be one of espeak-ng's own voices (``en-us``, ``de+f3``); a name it does not have is passed over
    for the language's own voice. At most four texts are spoken at once and 64 wait.
    """

    name = "espeak-ng"
    quality = "formant synthesis: intelligible, robotic"
    sample_rate_hz = 22_050

    def __init__(
        self, binary: str = "espeak-ng", *, timeout_s: float = 5.0, at_once: int = AT_ONCE, waiting: int = WAITING
    ) -> None:
        self._binary = binary
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._most_waiting = waiting
        self._voices: dict[str, str] = {}

    @property
    def languages(self) -> frozenset[str]:
        """BCP 47; empty before :meth:`start`."""
        return frozenset(self._voices)

    def missing(self) -> str | None:
        if shutil.which(self._binary) is None:
            return "espeak-ng is not installed: apt-get install espeak-ng"
        return None

    async def start(self) -> None:
        """Asks the program for its voices. Raises :class:`EngineError`."""
        try:
            process = await asyncio.create_subprocess_exec(
                self._binary,
                "--voices",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"espeak-ng cannot be started: {error}") from None
        try:
            async with asyncio.timeout(self._timeout_s):
                listing, _ = await process.communicate()
        except TimeoutError:
            raise EngineError("espeak-ng did not list its voices in time") from None
        finally:
            await _end(process)
        self._voices = parse_voices(listing.decode("utf-8", errors="replace"))
        if not self._voices:
            raise EngineError("espeak-ng has no voices: apt-get install --reinstall espeak-ng-data")

    async def close(self) -> None:
        """Nothing is kept running; a text that is being spoken ends with its own iterator."""

    def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        return self._speak(text, language, voice)

    async def _speak(self, text: str, language: str, voice: Voice) -> AsyncGenerator[bytes]:
        if len(text) > LONGEST_TEXT:
            raise EngineError(f"espeak-ng: expected at most {LONGEST_TEXT} characters, got {len(text)}")
        pieces = [piece for piece, _ in split(_spoken(text), LONGEST_PIECE) if piece.strip()]
        chosen = self._choose(language, voice.name)
        speed = str(round(_NORMAL_WORDS_PER_MINUTE * min(2.0, max(0.5, voice.speed))))
        if not pieces:
            return
        async with self._slot():
            for piece in pieces:
                # Closed by hand: an abandoned inner generator would keep its process until the collector came by.
                async with contextlib.aclosing(self._run(piece, chosen, speed)) as audio:
                    async for pcm in audio:
                        yield pcm

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None]:
        if self._slots.locked():
            if self._waiting >= self._most_waiting:
                raise EngineError(f"espeak-ng: busy, {self._waiting} texts are waiting")
            self._waiting += 1
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._slots.acquire()
            except TimeoutError:
                raise EngineError(f"espeak-ng: busy for more than {self._timeout_s:g} s") from None
            finally:
                self._waiting -= 1
        else:
            await self._slots.acquire()
        try:
            yield
        finally:
            self._slots.release()

    async def _run(self, piece: str, voice: str, speed: str) -> AsyncGenerator[bytes]:
        options = ("--stdin", "--stdout", "-z", "-b", "1", "-v", voice, "-s", speed)
        try:
            process = await asyncio.create_subprocess_exec(
                self._binary,
                *options,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"espeak-ng cannot be started: {error}") from None
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(piece.encode())
            process.stdin.close()
            rest = await self._audio_start(process.stdout)
            while chunk := await self._read(process.stdout):
                rest += chunk
                even = len(rest) & ~1
                if even:
                    yield rest[:even]
                rest = rest[even:]
            async with asyncio.timeout(self._timeout_s):
                status = await process.wait()
            if status != 0:
                raise EngineError(f"espeak-ng ended with status {status}")
        except TimeoutError:
            raise EngineError(f"espeak-ng gave no audio for {self._timeout_s:g} s") from None
        finally:
            await _end(process)

    async def _read(self, stream: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(self._timeout_s):
            return await stream.read(_CHUNK)

    async def _audio_start(self, stream: asyncio.StreamReader) -> bytes:
        """Takes the WAV header off the stream; audio that was read with it is returned."""
        head = b""
        while len(head) < _HEADER:
            chunk = await self._read(stream)
            if not chunk:
                raise EngineError("espeak-ng ended without audio")
            head += chunk
        rate = int.from_bytes(head[24:28], "little")
        shape = int.from_bytes(head[20:22], "little"), int.from_bytes(head[22:24], "little"), head[34]
        if head[:4] != b"RIFF" or head[36:40] != b"data" or (*shape, rate) != (1, 1, 16, self.sample_rate_hz):
            raise EngineError(
                f"espeak-ng: expected 16-bit mono PCM at {self.sample_rate_hz} Hz, got {head[:_HEADER].hex()}"
            )
        return head[_HEADER:]

    def _choose(self, language: str, name: str | None) -> str:
        known = set(self._voices.values())
        if name is not None:
            own, plus, variant = name.partition("+")
            voice = self._voices.get(own.lower(), own)
            if voice in known and (not plus or _VARIANT.fullmatch(plus + variant)):
                return voice + plus + variant
        voice = self._voices.get(language.lower()) or self._voices.get(base(language))
        if voice is None:
            raise EngineError(f"espeak-ng has no voice for {language}")
        return voice


def parse_voices(listing: str) -> dict[str, str]:
    """The voice to ask for by language (lower case), from the table that ``--voices`` prints.

    A voice serves the language of its row and, with a priority of which lower is better, those in brackets.
    """
    best: dict[str, tuple[int, str]] = {}
    for row in listing.splitlines()[1:]:
        columns = row.split(None, 5)
        if len(columns) < 5 or not columns[0].isdigit():
            continue
        language = columns[1].lower()
        best.setdefault(language, (0, language))
        for other, priority in re.findall(r"\((\S+) (\d+)\)", columns[5] if len(columns) > 5 else ""):
            rank = int(priority), language
            if other.lower() not in best or rank < best[other.lower()]:
                best[other.lower()] = rank
    return {language: voice for language, (_, voice) in best.items()}


def _spoken(text: str) -> str:
    # Control characters are commands to espeak-ng, and what stands in double brackets it reads as phonemes.
    return _CONTROL.sub(" ", text).replace("[[", "[ [").replace("]]", "] ]")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.stdin is not None:
        process.stdin.close()
        with contextlib.suppress(OSError):
            await process.stdin.wait_closed()
    if process.stdout is not None:
        while await process.stdout.read(1 << 16):
            pass
    await process.wait()
