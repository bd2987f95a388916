"""DeepL Voice: recognition, with translation in the same stream.

Options: ``variants`` (see :mod:`kallglot.speech.providers.deepl`), ``glossary_id`` and ``formality`` of the session.
It is for paid plans, and not part of all of them.

Sources: https://developers.deepl.com/api-reference/voice, https://developers.deepl.com/docs/voice/voice-api-requirements
(limits), https://developers.deepl.com/docs/voice/understanding-voice-sessions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from kallglot.speech.providers.deepl_voice_codec import DeeplVoiceCodec
from kallglot.speech.providers.deepl_voice_socket import VoiceClient
from kallglot.speech.remote.config import Patience, ProviderConfig
from kallglot.speech.remote.recognizer import StreamingRecognizer
from kallglot.speech.types import RecognizerOptions

LANGUAGES: Final = tuple(
    "ar bg bn cs da de el en es et fi fr ga he hi hr hu id it ja ko lt lv ms mt nb nl no pl pt ro ru sk sl sv ta th tl"
    " tr uk vi zh".split()
)
CATCH_UP: Final = 1.9
"""The vendor takes audio at twice real time at most."""


class DeeplRecognizer(StreamingRecognizer):
    default_languages = LANGUAGES

    def __init__(self, config: ProviderConfig, **named: Any) -> None:
        if config.patience.catch_up == Patience().catch_up:
            config = replace(config, patience=replace(config.patience, catch_up=CATCH_UP))
        super().__init__(config, **named)
        self.http = VoiceClient(self.name, config.timeouts, self.clock, self.reason, self.proxy)

    def codec(self, options: RecognizerOptions) -> DeeplVoiceCodec:
        return DeeplVoiceCodec(self.config, options)
