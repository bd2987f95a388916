"""What an operator says of one remote engine. Every wait and every amount in it has a bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kallglot.speech.types import EngineError


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent. Whatever is beyond it is refused with an :class:`EngineError`, in words."""

    at_once: int = 16
    """Requests, or open recognition streams."""
    waiting: int = 32
    """Requests that may wait for one of these; streams do not wait."""
    wait_s: float = 2.0
    seconds_a_day: float | None = None
    """Of audio recognised. A day is one of UTC, and of this process."""
    characters_a_day: int | None = None
    """Of text translated or spoken."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Of one exchange over HTTP; ``ProviderConfig.timeout_s`` is its total."""

    connect_s: float = 3.0
    first_byte_s: float = 8.0
    between_s: float = 5.0
    """From one piece of a streamed answer to the next."""
    streaming_s: float = 60.0
    """Waited for pieces of one streamed answer, all in all; what its listener takes for itself does not count."""


@dataclass(frozen=True, slots=True)
class Retry:
    """``tries`` of one request while the trouble may pass, within its total time; nothing is tried again once part of
    its answer was used."""

    tries: int = 2
    first_wait_s: float = 0.2
    longest_wait_s: float = 2.0
    """Also of what the server asks for by Retry-After: who has to wait longer is refused at once."""


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    failures_in_a_row: int = 5
    failure_rate: float = 0.5
    """Of the last ``window`` requests, once there were so many."""
    window: int = 20
    open_s: float = 10.0
    """Doubled each time that the trial request fails too, up to ``longest_s``."""
    longest_s: float = 120.0
    refused_s: float = 300.0
    """After a 401 or 403: nobody can help that but the operator."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Of a recognition stream."""

    give_up_s: float = 8.0
    """So long a stream is in trouble before it says that it failed."""
    connect_s: float = 4.0
    ready_s: float = 4.0
    """From the open socket to the server's word that it listens, where it gives one."""
    backoff_s: tuple[float, ...] = (0.0, 0.2, 0.5, 1.0, 2.0)
    settled_s: float = 10.0
    """A connection that lasted so long ends the trouble before it."""
    final_s: float = 5.0
    """From :meth:`finish` to its answer; later is a stall."""
    utterance_s: float = 15.0
    """Without a word about an utterance that the server has begun to tell; longer is a stall."""
    mute_s: float = 6.0
    """Of loud audio without any message; longer is a stall, where there was speech in it or the codec is
    ``talkative``."""
    keep_ms: int = 30_000
    """Audio kept for a new connection that was sent and not acknowledged."""
    wait_ms: int = 60_000
    """Audio kept that could not be sent yet; beyond it the oldest is given up."""
    catch_up: float = 4.0
    """Times real time at which kept audio is sent again, after a first ``burst_ms``."""
    burst_ms: int = 2000
    heartbeat_s: float = 5.0
    """WebSocket pings (RFC 6455, section 5.5.2); an unanswered one is a lost connection."""
    close_s: float = 1.0


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One engine as configured."""

    name: str
    """What the operator calls it, and the engine's ``name``: ``deepgram``, ``our-vllm``."""
    url: str | None = field(default=None, repr=False)
    """None: the vendor's public address. There may be a password in it, as in ``options``."""
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    languages: tuple[str, ...] = ()
    """Restricts or declares what it serves; empty: the vendor's own list."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """Of the vendor: region, voice names by language, glossary ids; see the vendor's module."""
    timeout_s: float = 10.0
    budget: Budget = Budget()
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry()
    breaker: BreakerLimits = BreakerLimits()
    patience: Patience = Patience()

    def address(self, default: str | None) -> str:
        """The url, without a slash at its end. Raises :class:`EngineError` where there is none."""
        url = self.url or default
        if not url:
            raise EngineError(f"{self.name}: no address (url) is configured", passing=False)
        return url.rstrip("/")

    def text(self, option: str, default: str | None = None) -> str | None:
        """An option that is a string; another kind of value raises :class:`EngineError`."""
        value = self.options.get(option, default)
        if value is not None and not isinstance(value, str):
            raise EngineError(f"{self.name}: the option {option} has to be a text", passing=False)
        return value

    def number(self, option: str, default: float) -> float:
        value = self.options.get(option, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise EngineError(f"{self.name}: the option {option} has to be a number", passing=False)
        return float(value)

    def flag(self, option: str, default: bool) -> bool:
        value = self.options.get(option, default)
        if not isinstance(value, bool):
            raise EngineError(f"{self.name}: the option {option} has to be true or false", passing=False)
        return value

    def table(self, option: str) -> Mapping[str, Any]:
        """An option that is a table, as ``{"de": "Anna"}``; empty where it is not given."""
        value: Any = self.options.get(option, {})
        if not isinstance(value, Mapping):
            raise EngineError(f"{self.name}: the option {option} has to be a table", passing=False)
        return value  # pyright: ignore[reportUnknownVariableType]
