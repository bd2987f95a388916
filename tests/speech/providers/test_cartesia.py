from typing import Any

import pytest
from tests.fakes.remote.cartesia import KEY, FakeCartesia
from tests.fakes.remote.plain import spoken
from tests.fakes.remote.server import Fault

from kallglot.speech.providers.cartesia import VOICE, CartesiaSynthesizer, trouble
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import Voice


def made(url: str | None = None, **named: Any) -> CartesiaSynthesizer:
    return CartesiaSynthesizer(ProviderConfig("cartesia", url, KEY, **named))


def test_asks_for_raw_pcm() -> None:
    request = made(options={"sample_rate_hz": 8000}).request("Hallo", "nb-NO", Voice())
    assert request.url == "https://api.cartesia.ai/tts/bytes"
    assert request.headers == {"Authorization": f"Bearer {KEY}", "Cartesia-Version": "2026-03-01"}
    assert request.document == {
        "model_id": "sonic-3",
        "transcript": "Hallo",
        "voice": {"mode": "id", "id": VOICE},
        "language": "no",
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 8000},
    }
    assert KEY not in repr(request)


def test_what_is_configured() -> None:
    engine = made(model="sonic-2", options={"version": "2025-04-16", "voices": {"de": "my-voice"}})
    request = engine.request("Hallo", "de-AT", Voice())
    assert request.headers["Cartesia-Version"] == "2025-04-16"
    assert request.document["model_id"] == "sonic-2"
    assert request.document["voice"]["id"] == "my-voice"
    assert engine.request("Hallo", "de", Voice(VOICE)).document["voice"]["id"] == VOICE
    assert engine.request("Hallo", "de", Voice("Rachel")).document["voice"]["id"] == "my-voice"


@pytest.mark.parametrize(("speed", "said"), [(1.2, 1.2), (2.0, 1.5), (0.5, 0.6)])
def test_speed(speed: float, said: float) -> None:
    assert made().request("x", "de", Voice(speed=speed)).document["generation_config"] == {"speed": said}


def test_the_vendors_word_for_an_error() -> None:
    assert trouble(b'{"error_code":"quota_exceeded","title":"t","message":"m","request_id":"r"}') == "quota_exceeded"
    assert trouble(b'{"error_code":null}') is None
    assert trouble(b"Unauthorized: sk_car_1") is None


async def test_a_used_up_account_is_not_asked_again() -> None:
    async with FakeCartesia() as server:
        engine = made(server.url, options={"sample_rate_hz": 8000})
        await engine.start()
        assert b"".join([pcm async for pcm in engine.synthesize("Hallo", "de", Voice())]) == spoken("Hallo", 8000)
        server.fail_next(Fault("refuse", 402))
        for _ in range(2):
            with pytest.raises(RemoteError, match=r"402 \(quota_exceeded\)") as caught:
                await anext(aiter(engine.synthesize("Hallo", "de", Voice())))
            assert not caught.value.passing
        assert len(server.asked) == 2
        assert not engine.healthy
        await engine.close()
