from tests.fakes.remote import plain
from tests.speech.contract.makers import RemoteRecognizer, RemoteSynthesizer, RemoteTranslator

MAKERS = [
    RemoteRecognizer("base", plain.PlainRecognizer, plain.PlainFake),
    RemoteRecognizer(
        "base, resampled, no answer to silence", plain.PlainRecognizer, plain.PlainFake,
        config={"options": {"rate": 16000, "answers_flush": False, "gap_silence_ms": 500}},
        cannot={"half_an_hour": "the same code as base"},
    ),
    RemoteTranslator("base", plain.PlainTranslator, plain.PlainServer, translate=plain.translated),
    RemoteSynthesizer("base", plain.PlainSynthesizer, plain.PlainServer, sound=lambda text: plain.spoken(text, 16000)),
]  # fmt: skip
