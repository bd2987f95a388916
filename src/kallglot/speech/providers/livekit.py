"""A bridge to plugins for LiveKit Agents: recognition and speech of vendors that there is no engine for here.

``options["plugin"]`` is the dotted name of a plugin's class, as ``livekit.plugins.gladia.STT``, and
``options["arguments"]`` the table of arguments for it; ``api_key`` and ``model`` are handed on where the class takes
them. What it serves has to be listed in ``languages``. For speech ``options["by_language"]`` may hold, by language, a
table of further arguments (``{"de": {"voice": "…"}}``), and ``options["voice_argument"]`` the name of the one that
``Voice.name`` is for.

Licences: ``livekit-agents`` itself is Apache-2.0 (extra ``livekit``), but every plugin has a licence of its own, and so
have the models that some bring along: those of LiveKit, for turn detection and in ``livekit-local-inference``, which
``livekit-agents`` installs, may only be used together with LiveKit Agents. The bridge uses none of them; whoever names
a plugin has to see to it that its licence allows this use.

Sources: https://docs.livekit.io/reference/python/livekit/agents/stt/ and
https://docs.livekit.io/reference/python/livekit/agents/tts/ (the interface of plugins).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Final

from kallglot.clock import Clock
from kallglot.speech import guards
from kallglot.speech.languages import match
from kallglot.speech.providers.livekit_codec import LivekitCodec
from kallglot.speech.providers.livekit_plugin import Plugin, in_words, missing
from kallglot.speech.providers.livekit_socket import PluginClient
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.engine import RemoteEngine, pause
from kallglot.speech.remote.errors import RemoteError, unusable
from kallglot.speech.remote.recognizer import StreamingRecognizer
from kallglot.speech.types import EngineError, RecognizerOptions, Voice

MOST_INSTANCES: Final = 32
"""Of one synthesizer: a plugin has its language and voice from its construction."""
LONGEST_TEXT: Final = 4_000
LONGEST_S: Final = 600
PIECE_MS: Final = 200


class LivekitRecognizer(StreamingRecognizer):
    """Option ``silence_ms``: so much silence follows where an utterance has to end at once, for plugins that wait for
    one."""

    key_needed = False

    def __init__(self, config: ProviderConfig, **named: Any) -> None:
        super().__init__(config, **named)
        self.http = PluginClient(config, self.clock)

    def missing(self) -> str | None:
        return _missing(self.config) or super().missing()

    def codec(self, options: RecognizerOptions) -> LivekitCodec:
        return LivekitCodec(self.config, options)


class LivekitSynthesizer(RemoteEngine):
    key_needed = False

    def __init__(
        self,
        config: ProviderConfig,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(config, clock=clock, sleep=sleep)
        self.sample_rate_hz = 24_000
        """The plugin's, once it is started."""
        self._plugin = Plugin(config)
        self._instances: OrderedDict[tuple[str | None, str | None], Any] = OrderedDict()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def languages(self) -> tuple[str, ...]:
        return self.config.languages

    def missing(self) -> str | None:
        return _missing(self.config) or super().missing()

    async def start(self) -> None:
        """Loads the plugin and makes an instance for the first language: it tells the sample rate."""
        await self._plugin.start()
        try:
            first = self._instance(self.config.languages[0], Voice())
            self.sample_rate_hz = int(first.sample_rate)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        instances = [self._instances.popitem()[1] for _ in range(len(self._instances))]
        await asyncio.gather(*(self._plugin.end(instance) for instance in instances), *self._leaving)
        await self._plugin.close()
        await super().close()

    def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        """The plugin decides about the speed. Raises :class:`EngineError`, also in the middle."""
        return self._speak(text, language, voice)

    async def _speak(self, text: str, language: str, voice: Voice) -> AsyncGenerator[bytes]:
        if not guards.says_something(text):
            return
        if len(text) > LONGEST_TEXT:
            what = f"a text of {len(text)} characters is too long; {LONGEST_TEXT} can be spoken at once"
            raise RemoteError(f"{self.name}: {what}", blame="request")
        if match(language, self.languages) is None:
            raise RemoteError(f"{self.name} has no voice for {language}", blame="request")
        self.spending.spend_characters(len(text))
        instance = self._instance(language, voice)
        async with self.spending.place():
            number = 0
            while True:
                number += 1
                spoken = False
                try:
                    async with contextlib.aclosing(self._try(instance, text)) as frames:
                        async for pcm in frames:
                            spoken = True
                            yield pcm
                    return
                except EngineError as error:
                    wait_s = pause(self.config.retry, number, error)
                    if spoken or number >= self.config.retry.tries or wait_s is None:
                        raise
                    self.counters.retries += 1
                    await self.sleep(wait_s)

    async def _try(self, instance: Any, text: str) -> AsyncGenerator[bytes]:
        with self.breaker.attempt() as attempt:
            spoken = False
            async with contextlib.aclosing(self._frames(instance, text)) as frames:
                async for pcm in frames:
                    if not spoken:
                        attempt.well()
                        spoken = True
                    yield pcm
            if not spoken:
                raise unusable(self.name, "the answer is silent")

    async def _frames(self, instance: Any, text: str) -> AsyncGenerator[bytes]:
        timeouts = self.config.timeouts
        left = LONGEST_S * self.sample_rate_hz * 2
        within_s = timeouts.connect_s + timeouts.first_byte_s
        stream: Any = None
        try:
            with in_words(self.name, self.clock):
                stream = instance.synthesize(text, conn_options=self._plugin.connect_options)
            while True:
                with in_words(self.name, self.clock):
                    async with asyncio.timeout(within_s):
                        audio: Any = await anext(stream, None)
                if audio is None:
                    return
                within_s = timeouts.between_s
                pcm = self._checked(audio.frame)
                left -= len(pcm)
                if left < 0:
                    raise unusable(self.name, f"it speaks for more than {LONGEST_S} s")
                most = self.sample_rate_hz * PIECE_MS // 1000 * 2
                for at in range(0, len(pcm), most):
                    yield pcm[at : at + most]
        finally:
            if stream is not None:
                await self._plugin.end(stream)

    def _checked(self, frame: Any) -> bytes:
        if (frame.sample_rate, frame.num_channels) != (self.sample_rate_hz, 1):
            shape = f"{frame.num_channels} channels at {frame.sample_rate} Hz"
            raise unusable(self.name, f"expected mono sound at {self.sample_rate_hz} Hz, got {shape}")
        return bytes(frame.data)

    def _instance(self, language: str, voice: Voice) -> Any:
        """Raises :class:`EngineError` where the plugin cannot be constructed."""
        tables = self.config.table("by_language")
        entry = match(language, tables)
        argument = self.config.text("voice_argument")
        key = entry or language, voice.name if argument else None
        instance = self._instances.get(key)
        if instance is None:
            further: dict[str, Any] = dict(tables[entry]) if entry is not None else {}
            if argument and voice.name:
                further[argument] = voice.name
            instance = self._instances[key] = self._plugin.construct(further, language=language)
            if len(self._instances) > MOST_INSTANCES:
                self._leave(self._instances.popitem(last=False)[1])
        self._instances.move_to_end(key)
        return instance

    def _leave(self, instance: Any) -> None:
        leaving = asyncio.create_task(self._plugin.end(instance))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)


def _missing(config: ProviderConfig) -> str | None:
    try:
        named = config.text("plugin")
        config.table("arguments")
        tables = config.table("by_language")
    except EngineError as error:
        return str(error)
    if not named:
        return f"{config.name} needs the dotted name of a plugin's class (option plugin)"
    if not all(isinstance(table, dict) for table in tables.values()):
        return f"{config.name}: the option by_language has to be a table of tables"
    if not config.languages:
        return f"{config.name} needs the languages that the plugin serves (languages)"
    return missing(config.name, named)
