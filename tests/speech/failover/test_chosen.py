from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from tests.speech.failover.engines import Clock, Ears, Mouth, Stream, Tongue
from tests.waiting import until

from kallglot.speech.counted import CountedEngines
from kallglot.speech.failover.chosen import EnginesSeen, Failover
from kallglot.speech.orders import Orders
from kallglot.speech.registry import EngineRegistry
from kallglot.speech.types import EngineError, Final, RecognizerEvent, RecognizerOptions, RecognizerStream, Voice
from kallglot.speech.used import EngineUse, Heard, Meter, metering


def ready(engine: Any, **fields: Any) -> Any:
    """With what the registry deals with."""

    async def nothing() -> None:
        pass

    for name, value in {"missing": lambda: None, "start": nothing, "close": nothing, **fields}.items():
        setattr(engine, name, value)
    return engine


PAIRS = [("de", "en"), ("en", "de")]


async def registry(orders: Orders | None = None) -> EngineRegistry:
    made = EngineRegistry(
        recognizers=[ready(Ears("near")), ready(Ears("far")), ready(Ears("english", ("en",)))],
        translators=[ready(Tongue("near"), pairs=PAIRS), ready(Tongue("far"), pairs=PAIRS)],
        synthesizers=[ready(Mouth("near"), languages=["de", "en"]), ready(Mouth("far"), languages=["de"])],
        orders=orders,
        remote=["far"],
    )
    await made.start()
    return made


def names(engines: Any) -> list[str]:
    return [engine.name for engine in engines]


async def test_this_machine_first_unless_an_order_says_otherwise() -> None:
    made = await registry()
    assert names(made.recognizers("en")) == ["near", "english", "far"]
    assert names(made.recognizers("en", {"recognition": {"en": ["far", "local"]}})) == ["far", "near", "english"]
    assert names(made.recognizers("en", {"recognition": {"*": ["english"]}})) == ["english"]
    assert names(made.recognizers("de", {"recognition": {"*": ["english"]}})) == []
    assert names(made.translators("de", "en", {"translation": {"de>en": ["far"]}})) == ["far"]
    operators = await registry({"recognition": {"*": ["far", "near"]}, "synthesis": {"de": ["far"]}})
    assert names(operators.recognizers("de")) == ["far", "near"]
    assert names(operators.recognizers("de", {"recognition": {"de": ["near", "far"]}})) == ["near", "far"]
    assert names(operators.synthesizers("de", {"recognition": {"*": ["near"]}})) == ["far"]
    german = next(one for one in operators.languages() if one.code == "de")
    assert (german.recognition, german.recognizers, german.synthesizers) == ("far", ("far", "near"), ("far",))
    assert german.translation_to[0].engines == ("near", "far")
    assert made.names("recognition") == ["near", "far", "english"]


async def test_what_is_missing_is_missing_among_those_chosen() -> None:
    made = await registry()
    assert made.missing_for("de", "en", {"recognition": {"*": ["far"]}}) is None
    chosen: Orders = {"synthesis": {"*": ["far"]}}
    assert made.missing_for("de", "en", chosen) == "engines.synthesis: of far none is ready for synthesis in English."
    chosen = {"recognition": {"*": ["english"]}}
    assert made.missing_for("de", "de", chosen) == (
        "engines.recognition: of english none is ready for recognition in German."
    )
    assert made.missing_for("de", "en", chosen) is None
    chosen = {"translation": {"en>de": ["deepl"]}}
    assert made.missing_for("de", "en", chosen) == (
        "engines.translation: of deepl none is ready for translation from English to German."
    )


async def test_the_same_choice_is_the_same_engine() -> None:
    failover = Failover(CountedEngines(await registry()), Clock())
    one, other = failover.chosen(None), failover.chosen({"recognition": {"*": ["far"]}})
    assert one.recognizer("de") is one.recognizer("de-AT")
    assert one.recognizer("de") is not one.recognizer("en")
    assert other.recognizer("de") is other.recognizer("en")
    assert other.recognizer("de").name == "far"  # type: ignore[union-attr]
    assert one.synthesizer("fr") is None
    assert one.detector() is None


async def test_who_translates_may_have_been_chosen_by_the_operator_too() -> None:
    for operators, own, chosen in (
        (None, None, False),
        ({"translation": {"de>en": ["far"]}}, None, True),
        ({"translation": {"*": ["local"]}}, None, True),
        ({"translation": {"en>de": ["far"]}, "recognition": {"*": ["local"]}}, None, False),
        (None, {"translation": {"*>en": ["near"]}}, True),
    ):
        engines = Failover(CountedEngines(await registry(operators)), Clock()).chosen(own)
        assert engines.translation_chosen("de", "en") is chosen


async def test_an_engine_that_answers_nobody_is_down() -> None:
    made = await registry()
    clock = Clock()
    failover = Failover(CountedEngines(made), clock)
    seen = EnginesSeen(made, failover)
    near = made.recognizers("de")[0]
    assert isinstance(near, Ears)
    chosen = failover.chosen(None).recognizer("de")
    assert chosen is not None
    for _ in range(2):
        near.refusals = [EngineError("no room")]
        await (await chosen.open(RecognizerOptions(8000, "de"), lambda _: None)).close()
        clock.now += 60
    state = {(one.kind, one.name): one for one in seen.status()}
    assert state["recognition", "near"].down == "no room"
    assert state["recognition", "far"].down is None
    assert (seen.given_up["recognition", "near"], seen.replaced["recognition", "near"]) == (2, 2)
    # Nobody knows what it is like by now.
    clock.now += 600
    assert {one.down for one in seen.status()} == {None}
    near.healthy = False
    assert {one.down for one in made.status() if one.name == "near" and one.kind == "recognition"} == {
        "it does not answer"
    }


async def test_what_is_used_is_metered() -> None:
    made = await registry()
    engines = Failover(CountedEngines(made), Clock()).chosen(None)
    translator, synthesizer = engines.translator("de", "en"), engines.synthesizer("de")
    assert translator is not None
    assert synthesizer is not None
    failing = made.translators("de", "en")[0]
    assert isinstance(failing, Tongue)
    failing.errors = [EngineError("no")]
    with metering(Meter()) as meter:
        await translator.translate("Guten Tag", "de", "en")
        async for _ in synthesizer.synthesize("Guten Tag", "de", Voice()):
            pass
    assert meter.uses() == (
        EngineUse("translation", "near", "en", characters=9),
        EngineUse("translation", "far", "en", characters=9),
        EngineUse("synthesis", "near", "de", audio_ms=200, characters=9),
    )
    await translator.translate("Nobody meters this", "de", "en")
    assert sum(use.characters for use in meter.uses()) == 27


class Listener:
    """Tells languages apart by their sound, as a test says."""

    name = "listener"

    def __init__(self) -> None:
        self.among: list[Sequence[str]] = []
        self.streams: list[Stream] = []
        self.away = False

    def open(
        self, sample_rate_hz: int, among: Sequence[str], on_event: Callable[[RecognizerEvent], None]
    ) -> RecognizerStream:
        if self.away:
            raise EngineError("the listener is away")
        self.among.append(among)
        self.streams.append(Stream(Ears("listener"), on_event))
        return self.streams[-1]


async def listening(*recognizers: Ears, remote: Collection[str] = ()) -> tuple[EngineRegistry, Listener]:
    listener = Listener()
    made = EngineRegistry(
        recognizers=[ready(one) for one in recognizers], spoken=[ready(listener)], remote=remote, detectors=()
    )
    await made.start()
    return made, listener


async def test_who_speaks_an_unknown_language_is_listened_to_first() -> None:
    german, english = Ears("german", ("de-DE",)), Ears("english", ("en",))
    made, listener = await listening(german, english)
    chosen = Failover(CountedEngines(made), Clock()).chosen(None)
    recognizer = chosen.recognizer(None)
    assert recognizer is not None
    assert recognizer is chosen.recognizer(None), "a session has one"
    told: list[RecognizerEvent] = []
    stream = await recognizer.open(RecognizerOptions(8000), told.append)
    assert listener.among == [("de", "en")]
    stream.push(bytes(1600))
    assert (german.streams, english.streams) == ([], [])
    listener.streams[0].tell(Final("en", 0, 100, language="en"))
    await until(lambda: english.streams)
    assert english.streams[0].heard == bytes(1600)
    english.streams[0].tell(Final("Hello", 0, 100))
    heard = next(one for one in told if isinstance(one, Heard))
    assert (heard.text, heard.language, [name for name, _ in heard.given]) == ("Hello", "en", ["english"])
    await stream.close()
    assert made.detector() is None, "it reads no texts"


async def test_a_listener_that_is_away_leaves_it_to_the_words() -> None:
    german = Ears("german", ("de",))
    made, listener = await listening(german, Ears("english", ("en",)))
    listener.away = True
    recognizer = Failover(CountedEngines(made), Clock()).chosen(None).recognizer(None)
    assert recognizer is not None
    told: list[RecognizerEvent] = []
    stream = await recognizer.open(RecognizerOptions(8000), told.append)
    german.streams[0].tell(Final("Hallo", 0, 100))
    assert [one.language for one in told if isinstance(one, Final)] == [None]
    await stream.close()


async def test_nobody_listens_where_there_is_one_language_or_an_engine_elsewhere_is_first() -> None:
    alone, _ = await listening(Ears("english", ("en",)))
    far, _ = await listening(Ears("far"), Ears("english", ("en",)), remote=["far"])
    for made in (alone, far):
        order: Orders = {"recognition": {"*": ["far", "local"]}} if made is far else {}
        assert made.spoken_detector(order) is None
    assert far.spoken_detector({"recognition": {"*": ["local"]}}) is None, "that leaves English"
    both, listener = await listening(Ears("german", ("de",)), Ears("english", ("en",)))
    assert both.spoken_detector() is listener
    assert both.spoken_detector({"recognition": {"*": ["english"]}}) is None
