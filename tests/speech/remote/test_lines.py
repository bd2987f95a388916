from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.speech.remote.lines import JsonLines, Lines, ServerEvent, ServerEvents


def fed(reader: Any, data: bytes, cuts: list[int]) -> list[Any]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    out: list[Any] = []
    for start, end in pairwise(places):
        out += reader.feed(data[start:end])
    return out + list(reader.end())


def split(data: bytes, reader: Callable[[], Any]) -> list[Any]:
    """The same however it is cut."""
    whole = fed(reader(), data, [])
    assert fed(reader(), data, list(range(len(data)))) == whole
    return whole


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1)), st.data())
def test_lines_in_any_pieces(lines: list[str], data: st.DataObject) -> None:
    text = "".join(line + data.draw(st.sampled_from(["\n", "\r\n", "\r"])) for line in lines)
    cuts = data.draw(st.lists(st.integers(0, 1000)))
    assert fed(Lines(), text.encode(), cuts) == lines


def test_the_last_line_need_not_end() -> None:
    assert split("größer\n好的".encode(), Lines) == ["größer", "好的"]
    assert split(b"a\n\nb", Lines) == ["a", "", "b"]
    assert split(b"ok\n\xff\xe4", Lines) == ["ok", "\ufffd\ufffd"]


def test_a_line_that_does_not_end() -> None:
    lines = Lines(10)
    assert list(lines.feed(b"0123456789")) == []
    with pytest.raises(ValueError, match="longer than 10"):
        list(lines.feed(b"x"))


def test_server_events() -> None:
    data = (
        "\ufeff: a comment\n\ndata: eins\n\nevent: add\ndata:zwei\ndata: drei\nid: 7\n\nretry: 10\n\n"
        'data\n\nfoo: bar\ndata: {"ä": 1}\r\n\r\n'
    ).encode()
    assert split(data, ServerEvents) == [
        ServerEvent("eins"),
        ServerEvent("zwei\ndrei", "add", "7"),
        ServerEvent("", "message", "7"),
        ServerEvent('{"ä": 1}', "message", "7"),
    ]


def test_an_event_without_its_empty_line_is_understood_at_the_end() -> None:
    assert split(b"data: 1\n\ndata: 2", ServerEvents) == [ServerEvent("1"), ServerEvent("2")]


def test_an_event_that_does_not_end() -> None:
    events = ServerEvents(100)
    with pytest.raises(ValueError, match="longer than 100"):
        list(events.feed(b"data: 12345\n" * 30))


def test_json_lines() -> None:
    assert split('{"a": "ü"}\n\n[1]\r\n2'.encode(), JsonLines) == [{"a": "ü"}, [1], 2]
    with pytest.raises(ValueError, match="no JSON"):
        list(JsonLines().feed(b"{]\n"))
    with pytest.raises(ValueError, match="no JSON"):
        list(JsonLines().feed(b"[" * 100_000 + b"\n"))
