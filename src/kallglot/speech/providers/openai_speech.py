"""Speech by ``POST /audio/speech``, as it is made.

Options: ``voice`` (``alloy``), ``voices`` by language, ``sample_rate`` where the server's PCM is not at 24,000 Hz,
``instructions`` on how to speak.

Source: https://developers.openai.com/api/reference/resources/audio (create speech)
"""

from __future__ import annotations

from typing import Any

from kallglot.speech.providers.openai import LANGUAGES, OpenAIEngine
from kallglot.speech.remote.exchange import Request
from kallglot.speech.remote.languages import by_language
from kallglot.speech.remote.synthesizer import RemoteSynthesizer
from kallglot.speech.types import Voice


class OpenAISynthesizer(OpenAIEngine, RemoteSynthesizer):
    default_model = "gpt-4o-mini-tts"
    default_languages = LANGUAGES
    most_characters = 4096

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.sample_rate_hz = int(self.config.number("sample_rate", 24000))

    def request(self, text: str, language: str, voice: Voice) -> Request:
        chosen = voice.name or by_language(self.config.table("voices"), language) or self.config.text("voice", "alloy")
        document: dict[str, Any] = {"model": self.model, "input": text, "voice": chosen, "response_format": "pcm"}
        if voice.speed != 1.0:
            document["speed"] = voice.speed
        if instructions := self.config.text("instructions"):
            document["instructions"] = instructions
        return Request(self.at("/audio/speech"), headers=self.headers(), document=document)
