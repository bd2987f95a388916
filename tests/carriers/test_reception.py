"""Who comes in as a carrier's stream, and what becomes of the call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from tests.databases import migrated_sqlite
from tests.store.test_store import organization
from tests.store.test_store import session as new_session
from twilio.request_validator import RequestValidator

from kallglot.accounts.ports import Page
from kallglot.api.ports.events import EventFilter
from kallglot.carriers.arrivals import Arrival, CarrierStart, Handshake
from kallglot.carriers.model import Call, Connection
from kallglot.carriers.reception import NAMED_CALL_FOR, Reception
from kallglot.clock import FakeClock
from kallglot.ids import CALL, CONNECTION, new_id
from kallglot.session.model import Session
from kallglot.session.switchboard import StreamRefused
from kallglot.session.tokens import StreamTokens, Verdict
from kallglot.store import SqlCalls, SqlJournal, SqlStore

SID = "CA" + "1" * 32
TOKEN = "geheim"
VERDICTS: tuple[Verdict | None, ...] = (None, "invalid", "expired", "ok")


@dataclass
class Desk:
    store: SqlStore
    journal: SqlJournal
    clock: FakeClock
    calls: SqlCalls
    reception: Reception
    lost: list[str] = field(default_factory=list)

    async def session(self, organization_id: str | None = None, **changes: Any) -> Session:
        if organization_id is None:
            organization_id = await self.organization()
        made = replace(new_session(organization_id), created_at=self.clock.now(), **changes)
        async with self.store.write() as unit:
            await unit.sessions.add(made)
        return made

    async def organization(self) -> str:
        made = organization()
        async with self.store.write() as unit:
            await unit.organizations.add(made)
        return made.id

    async def connection(self, organization_id: str, **changes: Any) -> Connection:
        made = Connection(
            new_id(CONNECTION), organization_id, "twilio", "Twilio", self.clock.now(), secrets={"auth_token": TOKEN}
        )
        made = replace(made, **changes)
        async with self.store.write() as unit:
            await unit.connections.add(made)
        return made

    async def call(self, of: Session, **changes: Any) -> Call:
        made = Call(
            new_id(CALL),
            of.id,
            of.organization_id,
            of.livemode,
            "twilio",
            "inbound",
            "ringing",
            self.clock.now(),
            None,
            SID,
        )
        return await self.calls.add(replace(made, **changes))

    async def arrives(
        self, of: Session | str, verdict: Verdict | None = "ok", handshake: Handshake | None = None, **changes: Any
    ) -> Arrival:
        session_id = of if isinstance(of, str) else of.id
        start = replace(CarrierStart("twilio", "MZ1", SID), **changes)
        given = handshake or Handshake(f"/v1/sessions/{session_id}/connect", {})
        return await self.reception.arrives(session_id, start, given, verdict)

    async def refused(self, *given: Any, **changes: Any) -> tuple[int, str]:
        with pytest.raises(StreamRefused) as refusal:
            await self.arrives(*given, **changes)
        return refusal.value.close_code, refusal.value.code

    async def get(self, arrival: Arrival) -> Call:
        found = await self.calls.get(arrival.call_id or "")
        assert found is not None
        return found

    async def told(self, of: Session) -> list[str]:
        where = EventFilter(of.organization_id, of.livemode, session_id=of.id)
        async with self.store.read() as unit:
            found, _ = await unit.events.list(where, Page(100))
        return [one.type.removeprefix("session.provider.") for one in reversed(found)]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = FakeClock()
    store = SqlStore(migrated_sqlite(tmp_path / "calls.sqlite3"), Fernet(Fernet.generate_key()))
    await store.start()
    journal = SqlJournal(store)
    await journal.start()
    calls = SqlCalls(store.database, store.cipher)
    made = Desk(store, journal, clock, calls, Reception(calls, journal, clock, "wss://media.example.com", "process"))
    made.reception.lost = made.lost.append
    yield made
    await journal.close()
    await store.close()


def signed(session_id: str, *, token: str = TOKEN, url: str | None = None, query: str = "") -> Handshake:
    target = f"/v1/sessions/{session_id}/connect"
    signature = RequestValidator(token).compute_signature(url or f"wss://media.example.com{target}", {})
    return Handshake(target + query, {"x-twilio-signature": signature})


# By a token


async def test_a_good_token(desk: Desk) -> None:
    of = await desk.session()
    arrival = await desk.arrives(of, parameters={"from": "+4930123456", "to": "+14155550100"})
    call = await desk.get(arrival)
    assert (arrival.livemode, arrival.participant, arrival.held, arrival.muted) == (True, None, False, False)
    assert (call.session_id, call.organization_id, call.livemode) == (of.id, of.organization_id, True)
    assert (call.carrier, call.carrier_call_id, call.direction, call.status) == ("twilio", SID, "inbound", "ringing")
    assert (call.from_, call.to, call.connection_id) == ("+4930123456", "+14155550100", None)
    assert await desk.told(of) == ["connecting"]


async def test_what_telnyx_says_of_the_call_itself(desk: Desk) -> None:
    of = await desk.session()
    arrival = await desk.arrives(of, dialect="telnyx", call_id="v3:1", from_="+49301", parameters={"from": "+49302"})
    call = await desk.get(arrival)
    assert (call.carrier, call.carrier_call_id, call.from_) == ("telnyx", "v3:1", "+49301")


@pytest.mark.parametrize(
    ("verdict", "code"), [(None, "invalid_token"), ("invalid", "invalid_token"), ("expired", "expired_token")]
)
async def test_no_good_token(desk: Desk, verdict: Verdict | None, code: str) -> None:
    of = await desk.session()
    assert await desk.refused(of, verdict) == (4401, code)
    assert await desk.calls.of_session(of.id) == []
    assert await desk.told(of) == []


async def test_the_tokens_own_verdicts(desk: Desk) -> None:
    tokens = StreamTokens(b"0" * 32, desk.clock)
    of, other = await desk.session(), await desk.session()
    token, _ = tokens.issue(of.id, True)
    assert (await desk.arrives(of, tokens.check(token, of.id))).call_id
    assert (await desk.refused(other, tokens.check(token, other.id)))[1] == "invalid_token"
    desk.clock.advance(300)
    assert (await desk.refused(of, tokens.check(token, of.id), call_id="CA2"))[1] == "expired_token"
    assert (await desk.arrives(of, tokens.check(token, of.id))).call_id


@pytest.mark.parametrize("verdict", VERDICTS)
async def test_a_session_that_is_none(desk: Desk, verdict: Verdict | None) -> None:
    expected = (4404, "session_not_found") if verdict == "ok" else None
    for wrong in ("sess_none", "", "x" * 300):
        found = await desk.refused(wrong, verdict)
        assert found == expected if expected else found[0] == 4401


async def test_an_old_token_of_a_call_that_was_here(desk: Desk) -> None:
    """A restart takes longer than a token is good for."""
    of = await desk.session()
    first = await desk.arrives(of)
    desk.clock.advance(3600)
    again = await desk.arrives(of, "expired")
    assert again.call_id == first.call_id
    assert await desk.refused(of, "expired", call_id="CA2") == (4401, "expired_token")
    assert await desk.refused(of, "expired", dialect="telnyx") == (4401, "expired_token")
    assert await desk.refused(of, "invalid") == (4401, "invalid_token")
    assert await desk.refused(of, None) == (4401, "invalid_token")
    assert len(await desk.calls.of_session(of.id)) == 1


async def test_an_old_token_and_a_call_of_another_session(desk: Desk) -> None:
    of, other = await desk.session(), await desk.session()
    await desk.arrives(of)
    assert await desk.refused(other, "expired") == (4401, "expired_token")


# By being named

NAMED = {"type": "twilio", "call_sid": SID}


async def test_the_call_that_the_session_was_made_for(desk: Desk) -> None:
    of = await desk.session(provider=NAMED)
    desk.clock.advance(NAMED_CALL_FOR.total_seconds() - 1)
    assert (await desk.arrives(of, None)).call_id
    assert await desk.told(of) == ["connecting"]


async def test_the_call_that_the_session_was_made_for_comes_again(desk: Desk) -> None:
    of = await desk.session(provider=NAMED)
    first = await desk.arrives(of, None)
    desk.clock.advance(3600)
    assert (await desk.arrives(of, None)).call_id == first.call_id


async def test_the_call_that_the_session_was_made_for_comes_too_late(desk: Desk) -> None:
    of = await desk.session(provider=NAMED)
    desk.clock.advance(NAMED_CALL_FOR.total_seconds())
    assert await desk.refused(of, None) == (4401, "invalid_token")
    assert (await desk.arrives(of, "ok")).call_id


@pytest.mark.parametrize(
    ("provider", "changes"),
    [
        (NAMED, {"call_id": SID[:-1] + "2"}),
        (NAMED, {"call_id": SID[:-1]}),
        (NAMED, {"dialect": "telnyx"}),
        ({"type": "telnyx", "call_control_id": SID}, {}),
        ({"type": "twilio"}, {}),
        ({"type": "twilio", "call_sid": None}, {}),
        (None, {}),
    ],
)
async def test_another_call_than_the_session_was_made_for(
    desk: Desk, provider: dict[str, Any] | None, changes: dict[str, Any]
) -> None:
    of = await desk.session(provider=provider)
    assert await desk.refused(of, None, **changes) == (4401, "invalid_token")


@pytest.mark.parametrize("verdict", ["invalid", "expired"])
async def test_being_named_makes_no_bad_token_good(desk: Desk, verdict: Verdict) -> None:
    of = await desk.session(provider=NAMED)
    assert (await desk.refused(of, verdict))[0] == 4401


async def test_telnyx_names_its_call_too(desk: Desk) -> None:
    of = await desk.session(provider={"type": "telnyx", "call_control_id": "v3:é"})
    assert (await desk.arrives(of, None, dialect="telnyx", call_id="v3:é")).call_id


# Calls that are known


async def test_a_call_that_its_webhook_told_of(desk: Desk) -> None:
    of = await desk.session()
    customer = of.participants[0].id
    known = await desk.call(of, held=True, muted=True, participant_id=customer)
    arrival = await desk.arrives(of, parameters={"participant": "agent"})
    assert arrival == Arrival(known.id, True, customer, True, True)
    assert await desk.told(of) == []


async def test_for_whom_a_new_call_says_it_is(desk: Desk) -> None:
    of = await desk.session()
    assert (await desk.arrives(of, parameters={"participant": "agent"})).participant == "agent"


async def test_a_call_of_another_session_moves(desk: Desk) -> None:
    owner = await desk.organization()
    first, second = await desk.session(owner), await desk.session(owner)
    known = await desk.call(first, participant_id=first.participants[0].id)
    arrival = await desk.arrives(second)
    assert (arrival.call_id, arrival.participant) == (known.id, None)
    assert (await desk.get(arrival)).session_id == second.id
    assert await desk.calls.of_session(first.id) == []


async def test_a_call_of_another_organization(desk: Desk) -> None:
    """Its stream may come in, for it has a token; what is kept of somebody else's call stays as it is."""
    mine, theirs = await desk.session(), await desk.session()
    known = await desk.call(theirs, participant_id=theirs.participants[0].id, held=True)
    arrival = await desk.arrives(mine, parameters={"participant": "agent"})
    assert arrival == Arrival(None, True, "agent")
    await desk.reception.joined(arrival, mine.participants[0].id)
    await desk.reception.left(arrival, hung_up=True)
    await desk.reception.left(arrival, hung_up=False)
    assert await desk.calls.get(known.id) == known
    assert desk.lost == []
    for verdict in (None, "expired"):
        assert (await desk.refused(mine, verdict))[0] == 4401


async def test_a_live_call_in_a_test_session(desk: Desk) -> None:
    owner = await desk.organization()
    live, trial = await desk.session(owner), await desk.session(owner, livemode=False)
    known = await desk.call(live)
    assert await desk.arrives(trial) == Arrival(None, False, None)
    assert await desk.calls.get(known.id) == known


async def test_a_call_that_becomes_another_organizations_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two streams that name the same call at the same time: the second finds the first's row when it writes its own."""
    mine, theirs = await desk.session(), await desk.session()
    known = await desk.call(theirs)

    async def not_yet(*_: Any) -> None:
        return None

    monkeypatch.setattr(desk.calls, "by_carrier_id", not_yet)
    arrival = await desk.arrives(mine)
    assert arrival.call_id is None
    await desk.reception.joined(arrival, mine.participants[0].id)
    assert await desk.calls.get(known.id) == known


async def test_a_call_that_we_placed_comes_before_we_know_its_id(desk: Desk) -> None:
    """A crash between the carrier's answer and the row: the stream names the call."""
    of, other = await desk.session(), await desk.session()
    customer = of.participants[0].id
    placed = await desk.call(of, carrier_call_id=None, direction="outbound", participant_id=customer, status="queued")
    arrival = await desk.arrives(of, parameters={"call": placed.id})
    assert arrival == Arrival(placed.id, True, customer)
    assert (await desk.get(arrival)).carrier_call_id == SID
    assert await desk.calls.of_session(of.id) == [replace(placed, carrier_call_id=SID)]
    # Nobody else's, and no call that has an id of its own.
    stranger = await desk.arrives(other, parameters={"call": placed.id}, call_id="CA2")
    second = await desk.arrives(of, parameters={"call": placed.id}, call_id="CA3")
    assert len({placed.id, stranger.call_id, second.call_id}) == 3
    for number, wrong in enumerate(("call_none", "", "\x00", "x" * 500)):
        assert (await desk.arrives(of, parameters={"call": wrong}, call_id=f"CA1{number}")).call_id
    assert await desk.get(arrival) == replace(placed, carrier_call_id=SID)


# Whose handshake


async def test_a_signed_handshake(desk: Desk) -> None:
    owner = await desk.organization()
    through = await desk.connection(owner)
    of = await desk.session(owner, routing={"connection_id": through.id})
    assert (await desk.arrives(of, "ok", signed(of.id))).call_id
    assert (await desk.arrives(of, "ok", signed(of.id, query="?token=dropped"))).call_id
    port = signed(of.id, url=f"wss://media.example.com:443/v1/sessions/{of.id}/connect")
    assert (await desk.arrives(of, "ok", port)).call_id


@pytest.mark.parametrize("verdict", ["ok", "expired", None])
async def test_a_handshake_that_is_not_signed(desk: Desk, verdict: Verdict | None) -> None:
    owner = await desk.organization()
    through = await desk.connection(owner)
    routing = {"connection_id": through.id}
    of = await desk.session(owner, routing=routing, provider=NAMED)
    if verdict == "expired":
        await desk.arrives(of, "ok", signed(of.id))
    known = await desk.calls.of_session(of.id)
    target = f"/v1/sessions/{of.id}/connect"
    for wrong in (
        Handshake(target, {}),
        Handshake(target, {"x-twilio-signature": ""}),
        Handshake(target, {"x-twilio-signature": "bm8="}),
        Handshake(target, {"x-twilio-signature": "\x00é"}),
        signed(of.id, token="anderes"),
        signed(of.id, url=f"https://media.example.com{target}"),
        signed(of.id, url=f"wss://elsewhere.example.com{target}"),
        Handshake(target, signed("sess_other").headers),
    ):
        assert await desk.refused(of, verdict, wrong) == (4401, "invalid_token")
    assert await desk.calls.of_session(of.id) == known


async def test_the_calls_connection_is_what_counts(desk: Desk) -> None:
    owner = await desk.organization()
    through = await desk.connection(owner)
    of = await desk.session(owner)
    known = await desk.call(of, connection_id=through.id)
    assert await desk.refused(of, "ok") == (4401, "invalid_token")
    assert (await desk.arrives(of, "ok", signed(of.id))).call_id == known.id


async def test_connections_that_sign_no_handshakes(desk: Desk) -> None:
    owner = await desk.organization()
    lenient = await desk.connection(owner, settings={"require_signature": False})
    of = await desk.session(owner, routing={"connection_id": lenient.id})
    assert (await desk.arrives(of)).call_id
    assert await desk.refused(of, "ok", signed(of.id, token="anderes")) == (4401, "invalid_token")
    telnyx = await desk.connection(owner, carrier="telnyx", secrets={"api_key": "k"})
    of = await desk.session(owner, routing={"connection_id": telnyx.id})
    assert (await desk.arrives(of, dialect="telnyx", call_id="v3:1")).call_id
    gone = await desk.session(owner, routing={"connection_id": "pcon_gone"})
    assert (await desk.arrives(gone, call_id="CA3")).call_id


async def test_a_plain_origin_is_signed_as_wss(desk: Desk) -> None:
    owner = await desk.organization()
    through = await desk.connection(owner)
    of = await desk.session(owner, routing={"connection_id": through.id})
    plain = Reception(desk.calls, desk.journal, desk.clock, "ws://media.example.com", "process")
    start = CarrierStart("twilio", "MZ1", SID)
    assert (await plain.arrives(of.id, start, signed(of.id), "ok")).call_id


# What becomes of the call


async def test_a_call_joins_and_is_hung_up(desk: Desk) -> None:
    of = await desk.session()
    arrival = await desk.arrives(of)
    desk.clock.advance(1)
    began = desk.clock.now()
    await desk.reception.joined(arrival, of.participants[0].id)
    call = await desk.get(arrival)
    assert (call.status, call.answered_at, call.participant_id) == ("in_progress", began, of.participants[0].id)
    desk.clock.advance(60)
    await desk.reception.left(arrival, hung_up=True)
    call = await desk.get(arrival)
    assert (call.status, call.hangup_cause, call.ended_at) == ("completed", "stream_stopped", desk.clock.now())
    assert call.answered_at == began
    await desk.reception.left(arrival, hung_up=True)
    assert await desk.get(arrival) == call
    assert await desk.told(of) == ["connecting", "connected", "disconnected"]
    assert desk.lost == []


async def test_a_call_whose_stream_is_cut_and_comes_again(desk: Desk) -> None:
    of = await desk.session()
    first = await desk.arrives(of)
    await desk.reception.joined(first, of.participants[0].id)
    joined = await desk.get(first)
    await desk.reception.left(first, hung_up=False)
    assert await desk.get(first) == joined
    assert desk.lost == [first.call_id]
    desk.clock.advance(400)
    again = await desk.arrives(of, "expired", stream_id="MZ2")
    assert (again.call_id, again.participant) == (first.call_id, of.participants[0].id)
    await desk.reception.joined(again, of.participants[0].id)
    assert await desk.get(first) == joined
    assert await desk.told(of) == ["connecting", "connected"]


async def test_a_call_whose_stream_stopped_goes_on_with_the_next(desk: Desk) -> None:
    """Without a connection a stop may be the end, or a document that goes on: the next stream tells."""
    of = await desk.session()
    first = await desk.arrives(of)
    await desk.reception.joined(first, of.participants[0].id)
    began = (await desk.get(first)).answered_at
    await desk.reception.left(first, hung_up=True)
    desk.clock.advance(5)
    again = await desk.arrives(of)
    await desk.reception.joined(again, of.participants[0].id)
    call = await desk.get(again)
    assert again.call_id == first.call_id
    assert (call.status, call.ended_at, call.hangup_cause, call.answered_at) == ("in_progress", None, None, began)
    assert await desk.told(of) == ["connecting", "connected", "disconnected", "connected"]


async def test_a_connections_call_ends_by_its_callbacks_only(desk: Desk) -> None:
    owner = await desk.organization()
    through = await desk.connection(owner, settings={"require_signature": False})
    of = await desk.session(owner)
    await desk.call(of, connection_id=through.id)
    arrival = await desk.arrives(of)
    await desk.reception.joined(arrival, of.participants[0].id)
    await desk.reception.left(arrival, hung_up=True)
    assert (await desk.get(arrival)).status == "in_progress"
    assert desk.lost == []
    over = replace(await desk.get(arrival), status="completed", ended_at=desk.clock.now(), hangup_cause="completed")
    await desk.calls.save(over)
    await desk.reception.joined(arrival, of.participants[1].id)
    found = await desk.get(arrival)
    assert (found.status, found.ended_at, found.hangup_cause) == ("completed", over.ended_at, "completed")


async def test_a_database_that_fails_does_not_end_the_audio(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    of = await desk.session()
    arrival = await desk.arrives(of)

    async def fails(*_: Any) -> None:
        raise RuntimeError("no database")

    monkeypatch.setattr(desk.calls, "change", fails)
    await desk.reception.joined(arrival, of.participants[0].id)
    await desk.reception.left(arrival, hung_up=False)
    assert desk.lost == [arrival.call_id]


async def test_ids_that_no_database_holds(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come from anybody, before any token is looked at; PostgreSQL fails where it is asked for a NUL."""
    of = await desk.session()
    looked: list[str] = []

    async def look(carrier: str, carrier_call_id: str) -> None:
        looked.append(carrier_call_id)

    monkeypatch.setattr(desk.calls, "by_carrier_id", look)
    for verdict in VERDICTS:
        found = await desk.refused(of, verdict, call_id="CA\x00")
        assert found[0] in (1008, 4401)
    assert looked == []
    arrival = await desk.arrives(of, parameters={"from": "a\x00b", "to": "\x00"})
    assert (await desk.get(arrival)).from_ == "ab"
