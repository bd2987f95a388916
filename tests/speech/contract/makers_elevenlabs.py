from tests.fakes.remote.elevenlabs import FakeElevenLabs
from tests.fakes.remote.plain import spoken
from tests.speech.contract.makers import KEY, RemoteSynthesizer

from kallglot.speech.providers.elevenlabs import ElevenLabsSynthesizer

MAKERS = [
    RemoteSynthesizer(
        "elevenlabs",
        ElevenLabsSynthesizer,
        lambda: FakeElevenLabs(KEY),
        config={"options": {"sample_rate_hz": 16000}},
        sound=lambda text: spoken(text, 16000),
    )
]
