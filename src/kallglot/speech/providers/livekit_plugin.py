"""A plugin for LiveKit Agents outside of LiveKit: its class found, constructed and closed, its errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import inspect
import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from kallglot.clock import Clock
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError, of_status
from kallglot.speech.types import EngineError

log = logging.getLogger(__name__)

CLOSE_S: Final = 2.0
HOW_TO_GET_IT: Final = "pip install 'kallglot[livekit]', and the plugin's own package"


class Plugin:
    def __init__(self, config: ProviderConfig) -> None:
        self._config = config
        self._class: Any = None
        self._session: Any = None
        self._connect_options: Any = None
        self.agents: Any = None
        """The package ``livekit.agents``, once started."""
        self.rtc: Any = None

    async def start(self) -> None:
        """Imports it, which takes seconds. Raises :class:`EngineError`."""
        name = self._config.name
        named = self._config.text("plugin") or ""
        try:
            self.agents = await asyncio.to_thread(importlib.import_module, "livekit.agents")
            self.rtc = await asyncio.to_thread(importlib.import_module, "livekit.rtc")
            # Plugins register themselves, and may on the main thread only.
            self._class = _found(named)
        except Exception as error:
            log.debug("a plugin cannot be imported", exc_info=True)
            raise RemoteError(
                f"{name}: {named} cannot be imported ({type(error).__name__}): {HOW_TO_GET_IT}", passing=False
            ) from None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @property
    def connect_options(self) -> Any:
        """The plugin tries nothing again: that is done here, with the audio that it would forget."""
        return self.agents.APIConnectOptions(max_retry=0, timeout=self._config.timeouts.connect_s)

    def construct(self, further: Mapping[str, Any], *, language: str | None = None) -> Any:
        """An instance. Raises :class:`EngineError`."""
        config = self._config
        if self._class is None:
            raise RemoteError(f"{config.name} is not started", blame="budget")
        takes = _parameters(self._class)
        arguments: dict[str, Any] = {}
        for argument, value in (("api_key", config.api_key), ("model", config.model), ("language", language)):
            if value is not None and argument in takes:
                arguments[argument] = value
        arguments.update(config.table("arguments"))
        arguments.update(further)
        if "http_session" in takes:
            # Of themselves plugins take that of a LiveKit job, which there is none of.
            arguments.setdefault("http_session", self._http_session())
        try:
            return self._class(**arguments)
        except Exception as error:
            # Its text may quote the key.
            log.debug("a plugin cannot be constructed: %s", type(error).__name__)
            what = f"the plugin cannot be constructed ({type(error).__name__}): see its arguments"
            raise RemoteError(f"{config.name}: {what}", passing=False) from None

    async def end(self, thing: Any) -> None:
        """Closes an instance or a stream of the plugin's, whatever it thinks of that."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_S):
                await thing.aclose()

    def _http_session(self) -> Any:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0))
        return self._session


def missing(name: str, named: str) -> str | None:
    """What has to be installed, in words, without importing it."""
    module = _split(named)[0]
    for package in ("livekit.agents", module):
        try:
            found = importlib.util.find_spec(package) is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            return f"{name}: {package} is not installed: {HOW_TO_GET_IT}"
    return None


@contextmanager
def in_words(name: str, clock: Clock) -> Generator[None]:
    """What a plugin raises, as :class:`RemoteError`: its own texts may quote keys."""
    try:
        yield
    except (EngineError, GeneratorExit, asyncio.CancelledError):
        raise
    except TimeoutError:
        raise RemoteError(f"{name} did not answer in time") from None
    except Exception as error:
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and 300 <= status < 600:
            raise of_status(name, status, {}, clock.now()) from None
        if getattr(error, "retryable", None) is False:
            raise RemoteError(f"{name} failed ({type(error).__name__})", passing=False) from None
        raise RemoteError(f"{name} failed ({type(error).__name__})") from None


def _split(named: str) -> tuple[str, str]:
    module, _, attribute = named.rpartition(":" if ":" in named else ".")
    return module, attribute


def _found(named: str) -> Any:
    module, attribute = _split(named)
    return getattr(importlib.import_module(module), attribute)


def _parameters(made: Any) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(made).parameters)
    except (TypeError, ValueError):
        return frozenset()
