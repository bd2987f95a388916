from tests.fakes.remote.openai import RATE, OpenAIServer, RealtimeFake
from tests.fakes.remote.plain import spoken, translated
from tests.speech.contract.makers import RemoteRecognizer, RemoteSynthesizer, RemoteTranslator

from kallglot.speech.providers.openai_chat import OpenAITranslator
from kallglot.speech.providers.openai_files import OpenAIFileRecognizer
from kallglot.speech.providers.openai_realtime import OpenAIRealtimeRecognizer
from kallglot.speech.providers.openai_speech import OpenAISynthesizer

ONE_REQUEST = "an utterance is one request: there is nothing before or after it to be told again"
FILES = {"told_twice": ONE_REQUEST, "told_late": ONE_REQUEST}

MAKERS = [
    RemoteRecognizer(
        "openai files", OpenAIFileRecognizer, OpenAIServer, FILES, path="/v1", after_ms=1000, tolerance_ms=320,
        config={"model": "m", "options": {"voice_activity": "energy"}}, partials=False,
    ),
    RemoteRecognizer(
        "openai files, streamed", OpenAIFileRecognizer, OpenAIServer,
        {**FILES, "half_an_hour": "the same code as openai files"}, path="/v1", after_ms=1000, tolerance_ms=320,
        config={"model": "m", "options": {"voice_activity": "energy", "stream": True}},
    ),
    RemoteRecognizer(
        "openai realtime, server's turns", OpenAIRealtimeRecognizer, RealtimeFake, path="/v1", config={"model": "m"},
        tolerance_ms=80,
    ),
    RemoteRecognizer(
        "openai realtime, our turns", OpenAIRealtimeRecognizer, RealtimeFake, path="/v1", after_ms=1000,
        config={"model": "gpt-live-transcribe"}, tolerance_ms=80,
        cannot={"half_an_hour": "the same code as with the server's turns"},
    ),
    RemoteTranslator(
        "openai chat", OpenAITranslator, OpenAIServer, path="/v1", config={"model": "m"}, translate=translated
    ),
    RemoteSynthesizer(
        "openai speech", OpenAISynthesizer, OpenAIServer, path="/v1", config={"model": "m"},
        sound=lambda text: spoken(text, RATE),
    ),
]  # fmt: skip
