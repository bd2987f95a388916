"""Soniox: streaming recognition, with the translation of what is heard in the same stream where that is asked for.

Options: ``translation`` (``two_way``, or ``one_way``: also what is said in a third language is translated),
``parameters`` (a table of whatever else the start request takes, as ``max_endpoint_delay_ms = 800``).

https://soniox.com/docs/api-reference/stt/websocket-api
"""

from __future__ import annotations

from typing import ClassVar

from kallglot.speech.languages import match
from kallglot.speech.providers import soniox_wire as wire
from kallglot.speech.remote.codec import Opening, RecognitionCodec
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.recognizer import StreamingRecognizer
from kallglot.speech.types import RecognizerOptions


class SonioxRecognizer(StreamingRecognizer):
    default_languages: ClassVar[tuple[str, ...]] = wire.languages()

    def missing(self) -> str | None:
        if self.config.options.get("translation", "two_way") not in ("two_way", "one_way"):
            return f"{self.name}: translation has to be two_way or one_way"
        return super().missing()

    def codec(self, options: RecognizerOptions) -> RecognitionCodec:
        served = (*self.config.languages, *wire.languages())
        if options.language is not None and match(options.language, served) is None:
            raise RemoteError(f"{self.name} does not serve {options.language}", blame="request")
        translate_to = options.translate_to
        if translate_to is not None and match(translate_to, served) is None:
            translate_to = None
        greeting = wire.start_request(
            options.sample_rate_hz,
            model=self.config.model or wire.MODEL,
            language=options.language,
            hints=self.config.languages,
            terms=options.terms,
            translate_to=translate_to,
            two_way=self.config.text("translation", "two_way") == "two_way",
            more=self.config.table("parameters"),
        )
        # The key in the start request itself, as it used to be, is refused from 15 January 2027.
        opening = Opening(
            self.config.address(wire.ADDRESS), {"Authorization": f"Bearer {self.config.api_key}"}, greeting=(greeting,)
        )
        return wire.SonioxCodec(
            opening,
            options.sample_rate_hz,
            name=self.name,
            partials=options.partials,
            tells_language=options.language is None or translate_to is not None,
            translate_to=translate_to,
        )
