import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.speech import frames
from kallglot.speech.frames import Frame, FrameReader, Kind

FRAMES = st.lists(
    st.builds(Frame, st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=300)), max_size=20
)


@given(FRAMES, st.integers(1, 50))
def test_frames_survive_any_pieces(sent: list[Frame], size: int) -> None:
    wire = b"".join(frames.encode(*frame) for frame in sent)
    reader = FrameReader()
    got = [frame for at in range(0, len(wire), size) for frame in reader.feed(wire[at : at + size])]
    assert got == sent


def test_values_survive() -> None:
    (frame,) = FrameReader().feed(frames.pack(Kind.EVENT, 7, ["final", 1, 2, "ü", None]))
    assert frames.unpack(frame) == ["final", 1, 2, "ü", None]


@pytest.mark.parametrize(
    "garbage", [b"\x00\x00\x00\x01\x01\x00\x00\x00\x00", b"\xff" * 9, b"\x00\x00\x00\x05\xfe\x00\x00\x00\x00"]
)
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r"frame|Kind"):
        list(FrameReader().feed(garbage))
