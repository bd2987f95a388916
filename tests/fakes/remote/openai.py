"""Servers of OpenAI's API, as https://developers.openai.com/api/reference documents it."""

from __future__ import annotations

import base64
import io
import json
import wave
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from tests.fakes.remote.plain import spoken, translated
from tests.fakes.remote.recognition import Command, FakeRecognition, Message, Session
from tests.fakes.remote.server import Asked, FakeServer, Fault, Reply, events_reply, json_reply
from tests.fakes.remote.words import Listener, Words

RATE = 24000


class OpenAIServer(FakeServer):
    """Chat, speech and transcription of files."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Any = None
        """Instead of the translation: a chat's message, or a whole transcription."""
        self.forms: list[dict[str, Any]] = []
        self.wav_head = False
        self.strict = False
        """Knows neither temperature nor max_tokens, as reasoning models."""

    def routes(self) -> None:
        self.route("POST", "/v1/chat/completions", self._chat)
        self.route("POST", "/v1/audio/speech", self._speech)
        self.route("POST", "/v1/audio/transcriptions", self._transcription)

    def refusal(self, fault: Fault, asked: Asked) -> web.Response:
        key = asked.headers.get("Authorization", "")
        error = {"message": f"Incorrect API key provided: {key}.", "type": "invalid_request_error", "code": "nope"}
        return web.json_response({"error": error}, status=fault.status, headers=dict(fault.headers))

    async def _chat(self, asked: Asked, request: web.Request) -> Reply:
        document = json.loads(asked.body)
        if self.strict and ("temperature" in document or "max_tokens" in document):
            return json_reply({"error": {"message": "unsupported", "code": "unsupported_value"}}, status=400)
        said = document["messages"][-1]["content"].removeprefix("<speech>").removesuffix("</speech>")
        message = {"role": "assistant", "content": translated(said, "en"), "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", **(self.answer or {})}
        return json_reply({"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [choice]})

    async def _speech(self, asked: Asked, request: web.Request) -> Reply:
        document = json.loads(asked.body)
        assert document["response_format"] == "pcm"
        pcm = spoken(document["input"], RATE)
        if self.wav_head:
            pcm = _wav_head() + pcm
        return Reply([pcm[at : at + 1001] for at in range(0, len(pcm), 1001)], "audio/pcm")

    async def _transcription(self, asked: Asked, request: web.Request) -> Reply:
        form = _form(asked)
        self.forms.append(form)
        if self.answer is not None:
            return json_reply(self.answer)
        with wave.open(io.BytesIO(form["file"])) as file:
            assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
            listener = Listener(file.getframerate(), None)
            list(listener.feed(file.readframes(file.getnframes())))
            text = next((words.text for words in listener.finish() if words.over), "")
        if form.get("stream") != b"true":
            return json_reply({"text": text})
        deltas = [{"type": "transcript.text.delta", "delta": f"{word} "} for word in text.split()]
        return events_reply(*deltas, {"type": "transcript.text.done", "text": text}, done=None)


class RealtimeFake(FakeRecognition):
    """Transcription sessions of the realtime API."""

    path = "/v1/realtime"
    rate = RATE

    def greeting(self, session: Session) -> Iterable[Message]:
        assert session.request.query["intent"] == "transcription"
        yield _json(type="session.created", session={"type": "transcription"})

    def read(self, session: Session, message: Message) -> Command:
        told = json.loads(message)
        session.data["told"] = told
        match told["type"]:
            case "input_audio_buffer.append":
                session.data["buffered"] = session.data.get("buffered", 0) + len(told["audio"])
                return base64.b64decode(told["audio"])
            case "input_audio_buffer.commit":
                session.data["committed"] = True
                return "finish"
            case _:
                return None

    def replies(self, session: Session, message: Message) -> Iterable[Message]:
        told = session.data["told"]
        if told["type"] == "session.update":
            assert told["session"]["type"] == "transcription"
            detection = told["session"]["audio"]["input"]["turn_detection"]
            session.data["server_turns"] = detection is not None
            session.listener.ending_ms = 300 if detection else None
            yield _json(type="session.updated", session=told["session"])
        elif told["type"] == "input_audio_buffer.clear":
            session.data["buffered"] = 0
            yield _json(type="input_audio_buffer.cleared")

    def partial(self, session: Session, words: Words) -> Iterable[Message]:
        item = self._item(session, words)
        if session.data["server_turns"]:
            if len(words.numbers) == 1:
                start_ms = max(0, words.start_ms - 300)
                yield _json(type="input_audio_buffer.speech_started", item_id=item, audio_start_ms=start_ms)
        else:
            delta = words.text if len(words.numbers) == 1 else f" {words.text.split()[-1]}"
            yield _json(type="conversation.item.input_audio_transcription.delta", item_id=item, delta=delta)

    def final(self, session: Session, words: Words) -> Iterable[Message]:
        item = self._item(session, words)
        if session.data["server_turns"] and not session.data.get("committed"):
            end_ms = words.end_ms + 500
            yield _json(type="input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=end_ms)
        yield from self._committed(session, item)
        if session.data["server_turns"]:
            yield _json(type="conversation.item.input_audio_transcription.delta", item_id=item, delta=words.text)
        yield self._completed(item, words.text)

    def flushed(self, session: Session, until_ms: int) -> Iterable[Message]:
        """A commit is always answered: by an item, or by an error where there is nothing in the buffer."""
        if session.data.pop("committed", False):
            if session.data.get("buffered", 0) * 3 // 4 // 48 < 100:
                error = {"type": "invalid_request_error", "code": "input_audio_buffer_commit_empty", "message": "small"}
                yield _json(type="error", error=error)
            else:
                item = f"item_silence_{until_ms}"
                yield from self._committed(session, item)
                yield self._completed(item, "")

    def _item(self, session: Session, words: Words) -> str:
        return f"item_{session.number}_{words.start_ms}"

    def _committed(self, session: Session, item: str) -> Iterable[Message]:
        before = session.data.get("item")
        if before != item:
            session.data["item"] = item
        session.data["committed"] = False
        session.data["buffered"] = 0
        yield _json(type="input_audio_buffer.committed", item_id=item, previous_item_id=before)

    def _completed(self, item: str, text: str) -> Message:
        kind = "conversation.item.input_audio_transcription.completed"
        return _json(type=kind, item_id=item, content_index=0, transcript=text)


def _form(asked: Asked) -> dict[str, Any]:
    """RFC 7578, as far as it is needed here."""
    boundary = asked.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
    found: dict[str, Any] = {}
    for part in asked.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = head.decode().partition('name="')[2].partition('"')[0]
        found[name] = content.removesuffix(b"\r\n")
    return found


def _wav_head() -> bytes:
    """As servers that stream do, with a length that nobody knows yet."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(b"")
    return out.getvalue()


def _json(**document: Any) -> str:
    return json.dumps(document, ensure_ascii=False)
