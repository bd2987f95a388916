from tests.fakes.remote.deepl import FakeDeepl
from tests.fakes.remote.deepl_voice import FakeDeeplVoice
from tests.fakes.remote.plain import translated
from tests.speech.contract.makers import KEY, RemoteRecognizer, RemoteTranslator

from kallglot.speech.providers.deepl import DeeplTranslator
from kallglot.speech.providers.deepl_voice import DeeplRecognizer

MAKERS = [
    RemoteTranslator(
        "deepl", DeeplTranslator, lambda: FakeDeepl(KEY), translate=lambda text, _: translated(text, "EN-US")
    ),
    RemoteRecognizer("deepl voice", DeeplRecognizer, lambda: FakeDeeplVoice(KEY)),
]
