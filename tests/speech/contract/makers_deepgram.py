from tests.fakes.remote.deepgram import DeepgramListening, DeepgramSpeaking
from tests.fakes.remote.plain import spoken
from tests.speech.contract.makers import RemoteRecognizer, RemoteSynthesizer

from kallglot.speech.providers.deepgram import DeepgramRecognizer, DeepgramSynthesizer

MAKERS = [
    RemoteRecognizer("deepgram", DeepgramRecognizer, DeepgramListening),
    RemoteSynthesizer(
        "deepgram", DeepgramSynthesizer, DeepgramSpeaking,
        config={"options": {"sample_rate_hz": 16000}}, sound=lambda text: spoken(text, 16000),
    ),
]  # fmt: skip
