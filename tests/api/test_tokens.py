from __future__ import annotations

from datetime import timedelta

import pytest

from kallglot.clock import FakeClock
from kallglot.session.tokens import LIFETIME, StreamTokens

SESSION = "sess_01JQ8Z5V7W3T9N4K2M6P8R1S0A"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tokens(clock: FakeClock) -> StreamTokens:
    return StreamTokens(b"k" * 32, clock)


@pytest.mark.parametrize(("livemode", "prefix"), [(True, "kst_live_"), (False, "kst_test_")])
def test_a_token_opens_its_own_session_for_five_minutes(
    tokens: StreamTokens, clock: FakeClock, livemode: bool, prefix: str
) -> None:
    token, expires_at = tokens.issue(SESSION, livemode)
    assert token.startswith(prefix)
    assert expires_at == clock.now() + LIFETIME == clock.now() + timedelta(minutes=5)
    assert tokens.check(token, SESSION) == "ok"
    assert tokens.check(token, "sess_01JQ8Z5V7W3T9N4K2M6P8R1S0B") == "invalid"
    clock.advance(299)
    assert tokens.check(token, SESSION) == "ok"
    clock.advance(1)
    assert tokens.check(token, SESSION) == "expired"
    assert tokens.check(token, "sess_other") == "invalid", "who knows no good token learns nothing of expiry"


def test_every_character_counts(tokens: StreamTokens) -> None:
    token, _ = tokens.issue(SESSION, True)
    for at in range(len(token)):
        other = "A" if token[at] != "A" else "B"
        assert tokens.check(token[:at] + other + token[at + 1 :], SESSION) == "invalid", at


def test_the_mode_cannot_be_changed(tokens: StreamTokens) -> None:
    token, _ = tokens.issue(SESSION, False)
    assert tokens.check(token.replace("kst_test_", "kst_live_"), SESSION) == "invalid"


def test_another_secret_signs_other_tokens(tokens: StreamTokens, clock: FakeClock) -> None:
    token, _ = StreamTokens(b"x" * 32, clock).issue(SESSION, True)
    assert tokens.check(token, SESSION) == "invalid"


@pytest.mark.parametrize(
    "token", ["", "kst_live_", "kst_live_" + "A" * 48, "kst_live_" + "é" * 48, "sk_live_x", "\x00"]
)
def test_what_is_no_token(tokens: StreamTokens, token: str) -> None:
    assert tokens.check(token, SESSION) == "invalid"
