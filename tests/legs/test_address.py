import pytest

from kallglot.legs.address import BadAddress, output_format, parse
from kallglot.session.leg import OutputFormat


def test_a_stream_address() -> None:
    found = parse("/v1/sessions/sess_1/connect?token=kst_live_x&participant=agent&audio=alaw_8000&pace=burst", None)
    assert found is not None
    assert (found.session_id, found.token, found.participant) == ("sess_1", "kst_live_x", "agent")
    assert output_format(found) == OutputFormat("alaw", 8000, True)


def test_the_token_may_come_in_the_header() -> None:
    found = parse("/v1/sessions/sess_1/connect", "bearer kst_live_y")
    assert found is not None
    assert found.token == "kst_live_y"
    assert output_format(found) == OutputFormat("mulaw", 8000, False)


@pytest.mark.parametrize(
    "target", ["/", "/v1/sessions//connect", "/v1/sessions/a/b/connect", "/v1/sessions/a/connectx"]
)
def test_other_addresses_are_not_streams(target: str) -> None:
    assert parse(target, None) is None


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("audio=mp3", "invalid_audio_format"),
        ("audio=mulaw_16000", "invalid_audio_format"),
        ("audio=pcm_s16le_11025", "invalid_audio_format"),
        ("pace=warp", "invalid_message"),
    ],
)
def test_wishes_that_cannot_be_met(query: str, code: str) -> None:
    found = parse(f"/v1/sessions/sess_1/connect?{query}", None)
    assert found is not None
    with pytest.raises(BadAddress) as bad:
        output_format(found)
    assert bad.value.code == code


@pytest.mark.parametrize(
    ("wish", "rate"), [("opus", 48000), ("mulaw", 8000), ("pcm_s16le@24000", 24000), ("opus_16000", 16000)]
)
def test_output_formats(wish: str, rate: int) -> None:
    found = parse(f"/v1/sessions/sess_1/connect?audio={wish}", None)
    assert found is not None
    assert output_format(found).sample_rate_hz == rate
