"""Google Cloud Speech-to-Text v2, streaming, over real gRPC with the SDK's own protocol buffers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
from google.cloud.speech_v2.types import cloud_speech
from google.protobuf.any_pb2 import Any as Detail
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from tests.fakes.remote.recognition import Command, FakeRecognition, Message, Session
from tests.fakes.remote.server import Asked, Fault
from tests.fakes.remote.words import PAUSE_MS, WORD_MS, WORDS, Words

SERVICE = "/google.cloud.speech.v2.Speech/StreamingRecognize"
STATUSES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
MOST_AUDIO_BYTES = 15_360


@dataclass
class _Call:
    """One call, as a :class:`Session` knows a socket and its request."""

    context: Any
    closed: bool = False

    @property
    def transport(self) -> _Call:
        return self

    def abort(self) -> None:
        self.closed = True

    async def send_bytes(self, data: bytes) -> None:
        await self.context.write(data)

    async def send_str(self, data: str) -> None:
        await self.context.write(data.encode())


class GoogleListening(FakeRecognition):
    """A session is one call. Says that everything is in Portuguese. ``prompt``: answers a call before it has anything
    to say."""

    prompt = True

    async def __aenter__(self) -> GoogleListening:
        self.server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(self._called)
        service, _, method = SERVICE[1:].partition("/")
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        port = self.server.add_insecure_port("127.0.0.1:0")
        await self.server.start()
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        self.release.set()
        await self.server.stop(0)

    async def _called(self, requests: AsyncIterator[bytes], context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        self.asked.append(Asked("POST", SERVICE, metadata, {}, b""))
        fault = self.fault()
        if fault is not None and fault.what == "refuse":
            await self._refuse(context, fault, metadata)
        if self.prompt and (fault is None or fault.what != "silent"):
            await context.send_initial_metadata((("x-server", "1"),))
        call: Any = _Call(context)
        self.connections += 1
        session = Session(self.connections, call, call, 16000, fault)
        async for data in requests:
            command = self.read(session, data)
            if isinstance(command, bytes) and not await self._hear(session, command):
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        await self._finish(session)
        session.closed_well = True
        if session.what == "silent":
            await self.gone()

    async def _refuse(self, context: Any, fault: Fault, metadata: dict[str, str]) -> None:
        code = STATUSES[fault.status]
        said = f"not with {metadata.get('x-goog-api-key')}"
        if "Retry-After" in fault.headers:
            detail = Detail()
            detail.Pack(RetryInfo(retry_delay=Duration(seconds=int(fault.headers["Retry-After"]))))
            status = Status(code=code.value[0], message=said, details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        await context.abort(code, said)

    def read(self, session: Session, message: Message) -> Command:
        assert isinstance(message, bytes)
        request = cloud_speech.StreamingRecognizeRequest.deserialize(message)
        if "config" not in session.data:
            assert request.recognizer
            assert not request.audio
            session.data["request"] = request
            session.data["config"] = config = request.streaming_config.config
            session.rate = config.explicit_decoding_config.sample_rate_hertz
            session.__post_init__()
            self.sessions.append(session)
            return None
        assert 0 < len(request.audio) <= MOST_AUDIO_BYTES
        return request.audio

    def partial(self, session: Session, words: Words) -> Iterable[Message]:
        if len(words.numbers) == 1:
            kind = cloud_speech.StreamingRecognizeResponse.SpeechEventType.SPEECH_ACTIVITY_BEGIN
            yield _response(speech_event_type=kind, speech_event_offset=_duration(words.start_ms))
        settled, tentative = words.text.rpartition(" ")[::2]
        results = [self._result(f" {tentative}" if settled else tentative, words.end_ms, stability=0.01)]
        if settled:
            results.insert(0, self._result(settled, words.end_ms, stability=0.9))
        yield _response(results=results)

    def final(self, session: Session, words: Words) -> Iterable[Message]:
        placed = [
            cloud_speech.WordInfo(
                word=WORDS[number],
                start_offset=_duration(words.start_ms + place * (WORD_MS + PAUSE_MS)),
                end_offset=_duration(words.start_ms + place * (WORD_MS + PAUSE_MS) + WORD_MS),
            )
            for place, number in enumerate(words.numbers)
        ]
        best = cloud_speech.SpeechRecognitionAlternative(transcript=words.text, confidence=0.9, words=placed)
        result = cloud_speech.StreamingRecognitionResult(
            alternatives=[best], is_final=True, result_end_offset=_duration(words.end_ms), language_code="pt-br"
        )
        yield _response(results=[result])

    def _result(self, transcript: str, end_ms: int, stability: float) -> Any:
        alternative = cloud_speech.SpeechRecognitionAlternative(transcript=transcript)
        return cloud_speech.StreamingRecognitionResult(
            alternatives=[alternative], stability=stability, result_end_offset=_duration(end_ms), language_code="pt-br"
        )


def _duration(ms: int) -> Any:
    return Duration(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def _response(**fields: Any) -> bytes:
    told = cloud_speech.StreamingRecognizeResponse(**fields)
    return cloud_speech.StreamingRecognizeResponse.serialize(told)
