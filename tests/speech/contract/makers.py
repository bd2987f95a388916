"""How an engine comes into the contract tests: ``makers_<who>.py`` beside this file has a list ``MAKERS`` of these.

A remote engine is made against its fake server by :class:`RemoteRecognizer`, :class:`RemoteTranslator` or
:class:`RemoteSynthesizer`; for another, a class of its own with the same attributes and a ``rig`` will do.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from tests.fakes.remote import words
from tests.fakes.remote.server import FakeServer, Fault

from kallglot.speech.remote.config import Patience, ProviderConfig, Retry, Timeouts

KEY = "sk-contract-5ecret-5ecret"
NO_NETWORK = "no network"
NETWORK_CASES = (
    "a_wrong_key", "a_wrong_key_in_mid_call", "too_many_requests", "a_drop_in_mid_send", "two_drops", "a_slow_final",
    "told_twice", "told_late", "characters_cut_in_two", "garbage", "a_server_that_says_nothing",
    "a_stall_in_mid_utterance", "a_server_that_stays_silent", "a_server_that_stays_away", "no_secrets_in_errors",
    "a_drop_in_mid_stream", "a_slow_first_byte", "an_empty_answer", "a_server_error_that_passes",
    "a_cancel_in_mid_stream",
)  # fmt: skip
Kind = Literal["recognition", "translation", "synthesis"]


def local(**more: str) -> dict[str, str]:
    """``cannot`` of an engine that runs here, with what else cannot be asked of it and why."""
    return {**dict.fromkeys(NETWORK_CASES, NO_NETWORK), **more}


class Maker(Protocol):
    name: str
    kind: Kind
    cannot: Mapping[str, str]
    """Cases (names of tests, without ``test_``) that cannot be asked of it, and why: it goes into the table."""
    speech: bool
    """Runs a real model."""

    def missing(self) -> str | None:
        """Why it cannot be made here; the tests are skipped then."""
        ...

    def rig(self, **changes: Any) -> AbstractAsyncContextManager[Rig]:
        """The engine, started. ``changes`` are of :class:`Patience`, :class:`Timeouts`, :class:`Retry` and
        :class:`ProviderConfig`; an engine without a network ignores them."""
        ...


@dataclass(frozen=True)
class Spoken:
    """``pcm`` begins and ends with silence, enough of it for the engine to end the utterance by itself. ``text`` None:
    the model's answer means nothing, only that there is one."""

    pcm: bytes
    text: str | None
    start_ms: int
    end_ms: int


@dataclass
class Rig:
    """``speak(number)`` is another utterance for each number. ``tolerance_ms`` is of its times, None where they are not
    checked. ``translate`` and ``sound`` tell what the fake server answers, None where that cannot be foretold."""

    engine: Any
    server: FakeServer | None = None
    rate: int = 8000
    language: str | None = "de"
    target: str = "en"
    speak: Callable[[int], Spoken] | None = None
    tolerance_ms: int | None = 60
    partials: bool = True
    translate: Callable[[str, str], str] | None = None
    sound: Callable[[str], bytes] | None = None
    texts: Sequence[str] = ("Guten Tag, ich möchte meine Bestellung ändern.", "Straße, größer, früh – 好的")

    def fail(self, *faults: Fault | None) -> None:
        assert self.server is not None
        self.server.fail_next(*faults)


def words_of(number: int) -> list[int]:
    return [number % len(words.WORDS), (number * 7 + 3) % len(words.WORDS), (number * 3 + 1) % len(words.WORDS)]


def speak_words(rate: int, after_ms: int = 400) -> Callable[[int], Spoken]:
    def speak(number: int) -> Spoken:
        numbers = words_of(number)
        length = len(numbers) * words.WORD_MS + (len(numbers) - 1) * words.PAUSE_MS
        return Spoken(words.say(numbers, rate, after_ms=after_ms), words.text(numbers), 100, 100 + length)

    return speak


@dataclass
class _Remote:
    name: str
    engine: Callable[[ProviderConfig], Any]
    server: Callable[[], FakeServer]
    cannot: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    """More of :class:`ProviderConfig`: model, options, languages."""
    path: str = ""
    """Behind the server's address, as ``/v1``."""
    language: str | None = "de"
    target: str = "en"
    speech = False

    def missing(self) -> str | None:
        return None

    def _config(self, server: FakeServer, changes: Mapping[str, Any]) -> ProviderConfig:
        hurry: dict[str, Any] = {
            "catch_up": 1e9, "burst_ms": 10**9, "backoff_s": (0.0, 0.02), "close_s": 1.0, "first_wait_s": 0.01,
            **changes,
        }  # fmt: skip
        parts = {}
        for name, kind in (("patience", Patience), ("timeouts", Timeouts), ("retry", Retry)):
            slots = set(kind.__dataclass_fields__)
            parts[name] = kind(**{key: value for key, value in hurry.items() if key in slots})
        own = {key: value for key, value in changes.items() if key in ProviderConfig.__dataclass_fields__}
        return ProviderConfig(self.name, server.url + self.path, KEY, **{**self.config, **parts, **own})

    @asynccontextmanager
    async def _made(self, changes: Mapping[str, Any]) -> AsyncIterator[tuple[Any, FakeServer]]:
        async with self.server() as server:
            engine = self.engine(self._config(server, changes))
            assert engine.missing() is None
            await engine.start()
            try:
                yield engine, server
            finally:
                await engine.close()


@dataclass
class RemoteRecognizer(_Remote):
    """``server`` is a :class:`~tests.fakes.remote.recognition.FakeRecognition`, or another that hears
    :mod:`~tests.fakes.remote.words`."""

    kind: Kind = "recognition"
    rate: int = 8000
    after_ms: int = 400
    tolerance_ms: int | None = 60
    partials: bool = True

    @asynccontextmanager
    async def rig(self, **changes: Any) -> AsyncIterator[Rig]:
        async with self._made(changes) as (engine, server):
            speak = speak_words(self.rate, self.after_ms)
            yield Rig(engine, server, self.rate, self.language, self.target, speak, self.tolerance_ms, self.partials)


@dataclass
class RemoteTranslator(_Remote):
    """``translate(text, target)`` is what the fake answers."""

    kind: Kind = "translation"
    translate: Callable[[str, str], str] | None = None

    @asynccontextmanager
    async def rig(self, **changes: Any) -> AsyncIterator[Rig]:
        async with self._made(changes) as (engine, server):
            yield Rig(engine, server, language=self.language, target=self.target, translate=self.translate)


@dataclass
class RemoteSynthesizer(_Remote):
    """``sound(text)`` is the PCM that the fake answers."""

    kind: Kind = "synthesis"
    sound: Callable[[str], bytes] | None = None

    @asynccontextmanager
    async def rig(self, **changes: Any) -> AsyncIterator[Rig]:
        async with self._made(changes) as (engine, server):
            yield Rig(engine, server, language=self.language, target=self.target, sound=self.sound)


def found() -> list[Maker]:
    """Of every ``makers_*.py`` here."""
    makers: list[Maker] = []
    for path in sorted(Path(__file__).parent.glob("makers_*.py")):
        makers += importlib.import_module(f"tests.speech.contract.{path.stem}").MAKERS
    return makers
