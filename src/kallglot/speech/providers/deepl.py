"""DeepL: translation with context, formality and glossaries, over HTTP.

``model`` is the ``model_type``: ``latency_optimized``, ``quality_optimized``, ``prefer_quality_optimized``. Options:
``variants``, a table of target variants by language (``{"en": "EN-GB"}``), and ``glossaries``, a table of the ids of
your own glossaries (``{"en>de": "…"}``), used for who brings none along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from kallglot.clock import Clock
from kallglot.speech.languages import base
from kallglot.speech.providers import deepl_wire as wire
from kallglot.speech.providers.deepl_glossaries import Glossaries
from kallglot.speech.providers.keytrouble import KeyTrouble
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.exchange import Answer, Request
from kallglot.speech.remote.translator import RemoteTranslator
from kallglot.speech.types import Hints


class DeeplTranslator(KeyTrouble, RemoteTranslator):
    default_languages = wire.LANGUAGES

    def __init__(
        self,
        config: ProviderConfig,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(config, clock=clock, sleep=sleep)
        key = config.api_key or ""
        self._url = config.address(wire.address(key))
        self.glossaries = Glossaries(self.ask, self._url, lambda: wire.headers(key), self.clock.monotonic)

    async def close(self) -> None:
        await self.glossaries.close()
        await super().close()

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        glossary_id = await self.glossaries.ready(source, target, hints.glossary) if hints.glossary else None
        try:
            return await super().translate(text, source, target, hints)
        except RemoteError as error:
            if glossary_id is None or error.status not in (400, 404):
                raise
            # Somebody may have deleted it; the next translation makes another.
            self.glossaries.forget(glossary_id)
            return await super().translate(text, source, target, replace(hints, glossary=()))

    def request(self, text: str, source: str, target: str, hints: Hints) -> Request:
        glossary_id = self.glossaries.known(source, target, hints.glossary) if hints.glossary else None
        document = wire.translation(
            text,
            source,
            target,
            hints,
            glossary_id=glossary_id or self._operators(source, target),
            model=self.config.model,
            wanted=self.config.table("variants"),
        )
        return Request(f"{self._url}/v2/translate", headers=wire.headers(self.config.api_key or ""), document=document)

    def read(self, answer: Answer) -> str:
        return wire.translated(answer.body)

    def key_trouble(self, error: RemoteError) -> str | None:
        return "the characters of its plan are used up (456)" if error.status == 456 else None

    def _operators(self, source: str, target: str) -> str | None:
        return self.config.table("glossaries").get(f"{base(source)}>{base(target)}")
