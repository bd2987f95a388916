"""What is masked is neither stored nor told; what the other side hears is what was said."""

from __future__ import annotations

from tests.session.calls import Call
from tests.session.fakes import AGENT, CUSTOMER, a_session, settle

from kallglot.session import events
from kallglot.session.redaction import CARD
from kallglot.speech.types import Partial

POLICY = {
    "card_numbers": True,
    "patterns": [{"name": "customer", "pattern": r"K-\d{6}", "replacement": "[customer]"}],
}
PAN = "4111 1111 1111 1111"


async def test_what_is_stored_told_and_spoken() -> None:
    call = Call(a_session(redaction=POLICY))
    live, [customer, agent] = await call.joined(CUSTOMER, AGENT)
    stream = await call.hear(live, customer)
    stream.on_event(Partial(f"K-123456 hat {PAN}", f"K-123456 hat {PAN[:9]}", 0))
    stream.utter(f"K-123456 hat {PAN} danke")
    live.text(CUSTOMER.id, f"noch einmal: {PAN}")
    await settle()
    turns = call.journal.kept
    assert [one.text for one in turns] == [f"[customer] hat {CARD} danke", f"noch einmal: {CARD}"]
    everything = repr([*customer.events, *agent.events, *turns])
    assert "1111" not in everything
    assert "K-123456" not in everything
    partial = next(one for one in agent.events if isinstance(one, events.TranscriptPartial))
    assert partial.text == f"[customer] hat {CARD}"
    assert partial.text.startswith(partial.stable_text)
    finals = [one for one in agent.events if isinstance(one, events.TranscriptFinal)]
    assert [one.turn for one in finals] == turns
    assert all(CARD in one.turn.translations[0].text for one in finals)
    spoken = [text for text, _ in call.engines.speaking.asked]
    assert len(spoken) == 2
    assert all(PAN in one for one in spoken), "an agent has to hear the number"


async def test_without_a_policy_everything_is_kept() -> None:
    call = Call()
    live, [customer, _] = await call.joined(CUSTOMER, AGENT)
    (await call.hear(live, customer)).utter(f"hier: {PAN}")
    await settle()
    assert [one.text for one in call.journal.kept] == [f"hier: {PAN}"]


async def test_a_number_said_before_and_after_a_restart() -> None:
    call = Call(a_session(redaction=POLICY))
    live, [customer] = await call.joined(CUSTOMER)
    live.text(CUSTOMER.id, "4111 1111 11")
    await settle()
    await call.board.disconnect(live, customer)
    await settle()
    again, _ = await call.joined(CUSTOMER)
    assert again is not live
    again.text(CUSTOMER.id, "11 1111")
    await settle()
    assert [one.text for one in call.journal.kept] == [f"4111 1111 {CARD}", CARD]
