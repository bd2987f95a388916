"""Azure: translation (Translator 3.0) and speech, over HTTP.

Options of the translator: ``region`` (of a key that is for one), ``category`` (a system of your own, from Custom
Translator). Options of speech: ``region``, needed where no ``url`` is configured, and those of
:mod:`kallglot.speech.providers.voiced`.

A glossary becomes a dynamic dictionary where one of the languages is English; there is no context and no formality.
"""

from __future__ import annotations

import re

from kallglot.speech.providers import azure_wire as wire
from kallglot.speech.providers.voiced import MOST_BYTES, VoicedSynthesizer
from kallglot.speech.remote.exchange import Answer, Request
from kallglot.speech.remote.translator import RemoteTranslator
from kallglot.speech.types import Hints, Voice


class AzureTranslator(RemoteTranslator):
    default_languages = wire.LANGUAGES

    def request(self, text: str, source: str, target: str, hints: Hints) -> Request:
        return wire.translation(
            self.config.address(wire.TRANSLATOR_URL),
            wire.marked_up(text, hints.glossary, source, target),
            source,
            target,
            headers=wire.translator_headers(self.config.api_key or "", self.config.text("region")),
            category=self.config.text("category"),
        )

    def read(self, answer: Answer) -> str:
        return wire.translated(answer.body)

    def reason(self, status: int, body: bytes) -> str | None:
        return wire.trouble(body)


class AzureSynthesizer(VoicedSynthesizer):
    rates = tuple(wire.RATES)
    default_languages = tuple(wire.VOICES)
    default_voices = wire.VOICES
    voice_names = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]+)+:?\w*")
    longest_piece = 1_000
    """Far within the ten minutes of sound at which the service cuts off."""

    def missing(self) -> str | None:
        if not self.config.url and not self.config.options.get("region"):
            return f"{self.name} needs the region of its key (option region)"
        return super().missing()

    def request(self, text: str, language: str, voice: Voice) -> Request:
        named = self.voice(voice, language)
        if named is None:
            raise self.no_voice(language)
        region = self.config.text("region")
        url = self.config.address(wire.speech_url(region) if region else None)
        markup = wire.ssml(text, wire.voice_locale(named, language), named, voice.speed)
        return wire.speech(url, self.config.api_key or "", markup, self.sample_rate_hz, MOST_BYTES)
