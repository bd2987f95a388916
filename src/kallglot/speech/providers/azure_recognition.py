"""Azure Speech: streaming recognition, over the WebSocket that its own SDKs use.

Its SDK is a native library that opens its own threads and sockets, and its interface over HTTP knows neither partial
results nor more than a minute; the socket's protocol is public.

Options: ``region`` (``westeurope``; or ``url``: ``wss://westeurope.stt.speech.microsoft.com``), ``endpoint_id`` (of a
custom model), ``profanity`` (``masked``, ``removed``, ``raw``).
"""

from __future__ import annotations

import uuid
from typing import ClassVar
from urllib.parse import urlencode

from kallglot.speech.providers import azure_recognition_wire as wire
from kallglot.speech.providers.recognition_locales import LOCALES, locale_of
from kallglot.speech.remote.codec import Opening, RecognitionCodec
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.recognizer import StreamingRecognizer
from kallglot.speech.types import RecognizerOptions


class AzureRecognizer(StreamingRecognizer):
    default_languages: ClassVar[tuple[str, ...]] = tuple(LOCALES)

    def missing(self) -> str | None:
        region = self.config.options.get("region")
        if not self.config.url and not (isinstance(region, str) and region.replace("-", "").isalnum()):
            return f"{self.name} needs the option region, such as westeurope"
        return super().missing()

    def codec(self, options: RecognizerOptions) -> RecognitionCodec:
        # Without a language it hears the first one that it is configured for, as it has to be told one.
        language = options.language or (self.config.languages[0] if self.config.languages else "en")
        locale = locale_of(language, self.config.languages)
        if locale is None:
            raise RemoteError(f"{self.name} does not serve {language}", blame="request")
        query = {"language": locale, "format": "detailed"}
        if profanity := self.config.text("profanity"):
            query["profanity"] = profanity
        if endpoint_id := self.config.text("endpoint_id"):
            query["cid"] = endpoint_id
        address = self.config.address(f"wss://{self.config.options.get('region')}.stt.speech.microsoft.com")
        headers = {"Ocp-Apim-Subscription-Key": self.config.api_key or "", "X-ConnectionId": _new_id()}
        return wire.AzureCodec(
            Opening(f"{address}{wire.PATH}?{urlencode(query)}", headers),
            options.sample_rate_hz,
            now=self.clock.now,
            new_id=_new_id,
            name=self.name,
            partials=options.partials,
            terms=options.terms,
        )


def _new_id() -> str:
    return uuid.uuid4().hex
