from tests.fakes.remote.google import FakeGoogle
from tests.fakes.remote.plain import spoken, translated
from tests.speech.contract.makers import KEY, RemoteSynthesizer, RemoteTranslator

from kallglot.speech.providers.google import GoogleSynthesizer, GoogleTranslator

MAKERS = [
    RemoteTranslator("google", GoogleTranslator, lambda: FakeGoogle(KEY), translate=translated),
    RemoteSynthesizer("google", GoogleSynthesizer, lambda: FakeGoogle(KEY), sound=lambda text: spoken(text, 24000)),
]
