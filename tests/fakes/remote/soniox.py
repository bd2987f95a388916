"""Soniox, as documented: https://soniox.com/docs/api-reference/stt/websocket-api"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tests.fakes.remote.plain import translated
from tests.fakes.remote.recognition import Command, FakeRecognition, Message, Session
from tests.fakes.remote.words import Listener, Words


class SonioxFake(FakeRecognition):
    """Tells an utterance's words as settled tokens, and its end, after its translation, in another message. Everything
    is in the first language that it is told to expect, or in Portuguese."""

    path = "/transcribe-websocket"

    def read(self, session: Session, message: Message) -> Command:
        if not session.data.get("request"):
            request = json.loads(message)
            assert request["audio_format"] == "pcm_s16le"
            assert request["num_channels"] == 1
            session.data["request"] = request
            session.rate = request["sample_rate"]
            session.listener = Listener(session.rate)
            return None
        if isinstance(message, bytes):
            return message or "close"
        if not message:
            return "close"
        commands: dict[str, Command] = {"finalize": "finish", "keepalive": "keepalive"}
        return commands[json.loads(message)["type"]]

    def partial(self, session: Session, words: Words) -> Iterable[Message]:
        yield self._response(session, self._tokens(session, words, is_final=False))

    def final(self, session: Session, words: Words) -> Iterable[Message]:
        yield self._response(session, self._tokens(session, words, is_final=True))
        tokens: list[dict[str, Any]] = []
        target = self._target(session)
        if target is not None:
            for piece in translated(words.text, target).partition(" "):
                tokens.append(self._token(piece, translation_status="translation", language=target))
        yield self._response(session, [*tokens, self._token("<end>")])

    def progress(self, session: Session, until_ms: int) -> Iterable[Message]:
        yield self._response(session, [])

    def flushed(self, session: Session, until_ms: int) -> Iterable[Message]:
        yield self._response(session, [self._token("<fin>")])

    def _tokens(self, session: Session, words: Words, *, is_final: bool) -> list[dict[str, Any]]:
        language = (session.data["request"].get("language_hints") or ["pt"])[0]
        step = (words.end_ms - words.start_ms) / len(words.numbers)
        tokens: list[dict[str, Any]] = []
        for place, word in enumerate(words.text.split()):
            begin, end = words.start_ms + place * step, words.start_ms + (place + 1) * step
            half = (begin + end) / 2
            # Pieces of words, a space before the first of each.
            for text, start_ms, end_ms in ((" " + word[:1], begin, half), (word[1:], half, end)):
                if text:
                    tokens.append(
                        self._token(
                            text.removeprefix(" ") if not tokens else text,
                            is_final=is_final,
                            start_ms=round(start_ms),
                            end_ms=round(end_ms),
                            confidence=0.9,
                            language=language,
                            translation_status="original" if self._target(session) else "none",
                        )
                    )
        return tokens

    def _target(self, session: Session) -> str | None:
        translation = session.data["request"].get("translation")
        if translation is None:
            return None
        return translation["language_b"] if translation["type"] == "two_way" else translation["target_language"]

    def _token(self, text: str, is_final: bool = True, **more: Any) -> dict[str, Any]:
        return {"text": text, "is_final": is_final, **more}

    def _response(self, session: Session, tokens: list[dict[str, Any]]) -> str:
        if not session.listener.speaking:
            session.data["settled"] = session.listener.now_ms
        settled = session.data.get("settled", 0)
        told = {"tokens": tokens, "final_audio_proc_ms": settled, "total_audio_proc_ms": round(session.heard_ms)}
        return json.dumps(told, ensure_ascii=False)


def error(code: int, message: str) -> str:
    """What comes before the connection is closed."""
    return json.dumps({"tokens": [], "error_code": code, "error_message": message})
