"""TwiML and TeXML: what a carrier is told to do with a call.

https://www.twilio.com/docs/voice/twiml and https://developers.telnyx.com/docs/voice/programmable-voice/texml-setup.
Each function gives the whole document, with nothing before its XML declaration. Characters that XML cannot hold are
left out.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from twilio.twiml import voice_response  # pyright: ignore[reportMissingTypeStubs]

from kallglot.carriers.client import Stream
from kallglot.carriers.model import Carrier

_twiml: Any = voice_response

_OVERRIDES: Final = "rc=5&rp=all&ct=2000"
"""Five more attempts after any failure, and two seconds to connect; 15 s in all is Twilio's own bound.
https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides"""
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STREAM_TELNYX: Final = {
    "track": "inbound_track",
    "bidirectionalMode": "rtp",
    "bidirectionalCodec": "PCMU",
    "bidirectionalSamplingRate": "8000",
}


def persistent(url: str) -> str:
    """Has Twilio try more often than once again to reach ``url``, as when we restart. A fragment of its own stays."""
    return url if urlsplit(url).fragment else f"{url.rstrip('#')}#{_OVERRIDES}"


def connect_stream(
    carrier: Carrier,
    stream: Stream,
    *,
    action_url: str | None,
    resume_url: str,
    pause_seconds: int,
    status_url: str | None = None,
) -> str:
    """The call's audio comes here. When the stream ends, ``action_url`` is asked what comes next; without it, or where
    the carrier does not ask, ``resume_url`` is after ``pause_seconds``. ``status_url`` is told of the stream itself."""
    if carrier == "telnyx":
        connect = ET.Element("Connect", _given(action=action_url))
        noun = ET.SubElement(
            connect, "Stream", _given(url=stream.url, **_STREAM_TELNYX, statusCallback=status_url, name=None)
        )
        for name, value in stream.parameters.items():
            ET.SubElement(noun, "Parameter", _given(name=name, value=value))
        pause = ET.Element("Pause", {"length": str(pause_seconds)})
        return _texml(connect, pause, _with_text("Redirect", resume_url, method="POST"))
    response = _twiml.VoiceResponse()
    verb = _twiml.Connect(action=None if action_url is None else _xml(persistent(action_url)))
    twilio_noun = _twiml.Stream(url=_xml(stream.url), status_callback=None if status_url is None else _xml(status_url))
    for name, value in stream.parameters.items():
        twilio_noun.parameter(name=_xml(name), value=_xml(value))
    verb.append(twilio_noun)
    response.append(verb)
    response.pause(length=pause_seconds)
    response.redirect(_xml(persistent(resume_url)), method="POST")
    return response.to_xml()


def hang_up(carrier: Carrier) -> str:
    if carrier == "telnyx":
        return _texml(ET.Element("Hangup"))
    response = _twiml.VoiceResponse()
    response.hangup()
    return response.to_xml()


def reject(carrier: Carrier, reason: Literal["rejected", "busy"] = "rejected") -> str:
    """Does not pick up."""
    if carrier == "telnyx":
        return _texml(ET.Element("Reject", {"reason": reason}))
    response = _twiml.VoiceResponse()
    response.reject(reason=reason)
    return response.to_xml()


def say_and_hang_up(carrier: Carrier, text: str) -> str:
    """In the carrier's own default voice, which is an English one."""
    if carrier == "telnyx":
        return _texml(_with_text("Say", text), ET.Element("Hangup"))
    response = _twiml.VoiceResponse()
    response.say(_xml(text))
    response.hangup()
    return response.to_xml()


def dial(carrier: Carrier, to: str, from_: str | None, timeout: int, result_url: str) -> str:
    """Connects the caller with ``to``, a number or a ``sip:`` address, ringing for ``timeout`` seconds.

    ``result_url`` is asked what comes next when that has failed, or is over: ``DialCallStatus`` tells.
    """
    is_sip = to.lower().startswith(("sip:", "sips:"))
    if carrier == "telnyx":
        verb = ET.Element("Dial", _given(action=result_url, method="POST", timeout=str(timeout), callerId=from_))
        verb.append(_with_text("Sip" if is_sip else "Number", to))
        return _texml(verb)
    response = _twiml.VoiceResponse()
    twilio_verb = _twiml.Dial(
        action=_xml(persistent(result_url)),
        method="POST",
        timeout=timeout,
        caller_id=None if from_ is None else _xml(from_),
    )
    if is_sip:
        twilio_verb.sip(_xml(to))
    else:
        twilio_verb.number(_xml(to))
    response.append(twilio_verb)
    return response.to_xml()


def _texml(*verbs: ET.Element) -> str:
    response = ET.Element("Response")
    response.extend(verbs)
    return '<?xml version="1.0" encoding="UTF-8"?>' + ET.tostring(response, encoding="unicode")


def _with_text(name: str, text: str, **attributes: str) -> ET.Element:
    element = ET.Element(name, _given(**attributes))
    element.text = _xml(text)
    return element


def _given(**attributes: str | None) -> dict[str, str]:
    return {name: _xml(value) for name, value in attributes.items() if value is not None}


def _xml(text: str) -> str:
    return _NOT_XML.sub("", text)
