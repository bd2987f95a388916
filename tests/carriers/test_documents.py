from __future__ import annotations

import string
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.carriers import documents
from kallglot.carriers.client import Stream
from kallglot.carriers.model import Carrier

CARRIERS: list[Carrier] = ["twilio", "telnyx"]
carriers = st.sampled_from(CARRIERS)
text = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="￾￿")
    | st.sampled_from("<>&\"']]>"),
    max_size=30,
)
urls = st.text(string.ascii_letters + string.digits + "/?&=%.<>\"'äé", max_size=30).map("https://h.example/".__add__)


def parsed(document: str) -> ET.Element:
    assert document.startswith('<?xml version="1.0" encoding="UTF-8"?>')
    root = ET.fromstring(document.encode())
    assert root.tag == "Response"
    return root


def test_twiml_of_a_stream() -> None:
    stream = Stream("wss://h.example/v1/sessions/sess_1/connect", {"token": "kst_live_1", "participant": "part_1"})
    document = documents.connect_stream(
        "twilio", stream, action_url="https://h.example/a", resume_url="https://h.example/r", pause_seconds=2
    )
    assert document == (
        '<?xml version="1.0" encoding="UTF-8"?><Response>'
        '<Connect action="https://h.example/a#rc=5&amp;rp=all&amp;ct=2000">'
        '<Stream url="wss://h.example/v1/sessions/sess_1/connect">'
        '<Parameter name="token" value="kst_live_1" /><Parameter name="participant" value="part_1" />'
        '</Stream></Connect><Pause length="2" />'
        '<Redirect method="POST">https://h.example/r#rc=5&amp;rp=all&amp;ct=2000</Redirect></Response>'
    )


def test_texml_of_a_stream() -> None:
    stream = Stream("wss://h.example/v1/sessions/sess_1/connect", {"token": "kst_live_1"})
    document = documents.connect_stream(
        "telnyx",
        stream,
        action_url=None,
        resume_url="https://h.example/r?a=1&b=2",
        pause_seconds=1,
        status_url="https://h.example/s",
    )
    assert document == (
        '<?xml version="1.0" encoding="UTF-8"?><Response><Connect>'
        '<Stream url="wss://h.example/v1/sessions/sess_1/connect" track="inbound_track" bidirectionalMode="rtp" '
        'bidirectionalCodec="PCMU" bidirectionalSamplingRate="8000" statusCallback="https://h.example/s">'
        '<Parameter name="token" value="kst_live_1" /></Stream></Connect><Pause length="1" />'
        '<Redirect method="POST">https://h.example/r?a=1&amp;b=2</Redirect></Response>'
    )


@given(carriers, urls, st.dictionaries(text, text, max_size=5), urls, urls, st.integers(0, 99), st.none() | urls)
def test_whatever_a_stream_is(
    carrier: Carrier,
    url: str,
    parameters: dict[str, str],
    action: str,
    resume: str,
    pause: int,
    status: str | None,
) -> None:
    document = documents.connect_stream(
        carrier, Stream(url, parameters), action_url=action, resume_url=resume, pause_seconds=pause, status_url=status
    )
    connect, paused, redirect = parsed(document)
    (stream,) = connect
    assert [one.tag for one in (connect, stream, paused, redirect)] == ["Connect", "Stream", "Pause", "Redirect"]
    fragment = "" if carrier == "telnyx" else "#rc=5&rp=all&ct=2000"
    assert (connect.get("action"), redirect.text) == (action + fragment, resume + fragment)
    assert (stream.get("url"), stream.get("statusCallback"), paused.get("length")) == (url, status, str(pause))
    assert stream.get("bidirectionalMode") == ("rtp" if carrier == "telnyx" else None)
    assert [(one.tag, one.get("name"), one.get("value")) for one in stream] == [
        ("Parameter", name, value) for name, value in parameters.items()
    ]


@pytest.mark.parametrize("carrier", CARRIERS)
def test_endings(carrier: Carrier) -> None:
    assert [one.tag for one in parsed(documents.hang_up(carrier))] == ["Hangup"]
    (rejected,) = parsed(documents.reject(carrier, "busy"))
    assert (rejected.tag, rejected.attrib) == ("Reject", {"reason": "busy"})
    assert parsed(documents.reject(carrier))[0].get("reason") == "rejected"


@given(carriers, text)
def test_what_is_said(carrier: Carrier, words: str) -> None:
    say, hang_up = parsed(documents.say_and_hang_up(carrier, words))
    assert (say.tag, say.text or "", hang_up.tag) == ("Say", words, "Hangup")


@given(carriers, st.text(max_size=20))
def test_characters_that_xml_cannot_hold(carrier: Carrier, words: str) -> None:
    parsed(documents.say_and_hang_up(carrier, words))
    parsed(documents.dial(carrier, words, words, 1, "https://h.example/"))


@given(carriers, text, st.none() | text, st.integers(1, 600), urls)
def test_a_transfer(carrier: Carrier, to: str, from_: str | None, timeout: int, url: str) -> None:
    (dial,) = parsed(documents.dial(carrier, to, from_, timeout, url))
    (noun,) = dial
    assert (dial.get("callerId"), dial.get("timeout"), dial.get("method")) == (from_, str(timeout), "POST")
    assert dial.get("action") == (url if carrier == "telnyx" else documents.persistent(url))
    assert (noun.tag, noun.text or "") == ("Number", to)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_transfer_by_sip(carrier: Carrier) -> None:
    ((noun,),) = parsed(documents.dial(carrier, "sip:me@h.example;transport=tls", None, 20, "https://h.example/r"))
    assert (noun.tag, noun.text) == ("Sip", "sip:me@h.example;transport=tls")


@pytest.mark.parametrize(
    ("url", "persistent"),
    [
        ("https://h.example/x?a=1", "https://h.example/x?a=1#rc=5&rp=all&ct=2000"),
        ("https://h.example/x#", "https://h.example/x#rc=5&rp=all&ct=2000"),
        ("https://h.example/x#rc=1", "https://h.example/x#rc=1"),
    ],
)
def test_overrides(url: str, persistent: str) -> None:
    assert documents.persistent(url) == persistent
    assert documents.persistent(persistent) == persistent
