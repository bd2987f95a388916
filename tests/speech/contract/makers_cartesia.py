from tests.fakes.remote.cartesia import FakeCartesia
from tests.fakes.remote.plain import spoken
from tests.speech.contract.makers import KEY, RemoteSynthesizer

from kallglot.speech.providers.cartesia import CartesiaSynthesizer

MAKERS = [
    RemoteSynthesizer(
        "cartesia",
        CartesiaSynthesizer,
        lambda: FakeCartesia(KEY),
        config={"options": {"sample_rate_hz": 8000}},
        sound=lambda text: spoken(text, 8000),
    )
]
