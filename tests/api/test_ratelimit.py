from __future__ import annotations

from tests.api.conftest import Api

from kallglot.api.ratelimit import MAX_WINDOWS, RateLimiter

OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}


def test_a_window_fills_and_begins_anew() -> None:
    limiter = RateLimiter()
    taken = [limiter.take("org", True, "read", 2, 120.9) for _ in range(3)]
    assert [(one.allowed, one.remaining) for one in taken] == [(True, 1), (True, 0), (False, 0)]
    assert {(one.limit, one.reset_at, one.retry_after) for one in taken} == {(2, 180, 60)}
    assert limiter.take("org", True, "read", 2, 179.9).retry_after == 1
    assert limiter.take("org", True, "read", 2, 180.0).allowed


def test_organizations_modes_and_groups_are_counted_apart() -> None:
    limiter = RateLimiter()
    keys = [(org, live, group) for org in "ab" for live in (True, False) for group in ("read", "write")]
    assert all(limiter.take(*key, 1, 0).allowed for key in keys)
    assert not any(limiter.take(*key, 1, 0).allowed for key in keys)


def test_memory_is_bounded() -> None:
    limiter = RateLimiter()
    for n in range(MAX_WINDOWS + 2):
        limiter.take(str(n), True, "read", 1, 0)
    assert limiter.windows <= MAX_WINDOWS


async def test_too_many_requests(api: Api) -> None:
    key = await api.tenant(plan="free")
    api.clock.advance(18)
    for left in range(59, -1, -1):
        response = await api.call("GET", "/v1/sessions", key=key)
        assert (response.status_code, response.headers["x-ratelimit-remaining"]) == (200, str(left))
    refused = await api.call("GET", "/v1/sessions", key=key)
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["code"]) == (429, "rate_limit_error", "rate_limit_exceeded")
    assert refused.headers["retry-after"] == str(error["retry_after"]) == "42"
    assert refused.headers["x-ratelimit-limit"] == "60"
    assert int(refused.headers["x-ratelimit-reset"]) == int(api.clock.now().timestamp()) + 42
    assert refused.headers["ratelimit"] == '"sessions_read";r=0;t=42'
    assert refused.headers["ratelimit-policy"] == '"sessions_read";q=60;w=60'
    assert refused.headers["x-api-credits-remaining"] == "100"
    assert (await api.call("POST", "/v1/sessions", OBJECT, key=key)).status_code == 201, "another group"
    assert (await api.call("GET", "/v1/sessions")).status_code == 200, "another organization"
    api.clock.advance(42)
    assert (await api.call("GET", "/v1/sessions", key=key)).status_code == 200


async def test_refused_requests_count_and_create_nothing(api: Api) -> None:
    key = await api.tenant(plan="free")
    for _ in range(60):
        assert (await api.call("POST", "/v1/sessions", {}, key=key)).status_code == 400
    refused = await api.call("POST", "/v1/sessions", OBJECT, key=key, Idempotency_Key="k")
    assert refused.status_code == 429
    api.clock.advance(60)
    made = await api.call("POST", "/v1/sessions", OBJECT, key=key, Idempotency_Key="k")
    assert (made.status_code, "idempotent-replayed" in made.headers) == (201, False)
