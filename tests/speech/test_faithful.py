"""Damage on purpose by scripted translators; contact-centre sentences through the installed Apertium."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.speech.engines.apertium import ApertiumTranslator
from kallglot.speech.faithful import FaithfulTranslator
from kallglot.speech.keepsakes import keepsakes, missing
from kallglot.speech.types import EngineError, Hints

NO_HINTS = Hints()
STAND_IN = re.compile(r"zqv[a-z]{2}k", re.IGNORECASE)


class Inner:
    """Answers with the text as ``damages`` leave it, one for each call, the last for all that follow."""

    name = "inner"

    def __init__(self, *damages: Callable[[str], str]) -> None:
        self.damages = damages or (str,)
        self.asked: list[str] = []
        self.hints: list[Hints] = []
        self.warmed: list[tuple[str, str]] = []

    async def warm(self, source: str, target: str) -> None:
        self.warmed.append((source, target))

    async def translate(self, text: str, source: str, target: str, hints: Hints = NO_HINTS) -> str:
        self.asked.append(text)
        self.hints.append(hints)
        return self.damages[min(len(self.asked), len(self.damages)) - 1](text)


def fail(_: str) -> str:
    raise EngineError("inner: broke")


def crash(_: str) -> str:
    raise ValueError("nobody expected it")


def without(pattern: str) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, "", text, flags=re.IGNORECASE)


GLOSSARY = [("invoice", "Rechnung"), ("order", "Auftrag"), ("order number", "Auftragsnummer"), ("shop", "iPhone-Laden")]


async def test_terms_go_through_behind_stand_ins() -> None:
    inner = Inner()
    translator = FaithfulTranslator(inner, GLOSSARY)
    assert translator.name == "inner"
    await translator.warm("en", "de")
    assert inner.warmed == [("en", "de")]
    answer = await translator.translate("The order number, the Invoices and the orders.", "en", "de")
    assert answer == "The Auftragsnummer, the Rechnung and the Auftrag."
    assert len(inner.asked) == 1
    assert len(STAND_IN.findall(inner.asked[0])) == 3


@pytest.mark.parametrize(
    ("language", "term", "text", "answer"),
    [
        ("en", "invoice", "invoices invoiced invoice's INVOICE", "X invoiced X's X"),
        ("en", "company", "companies, company", "X, X"),
        ("de", "Rechnung", "Rechnungen Rechnungsnummer Rechnung-Nr", "X Rechnungsnummer Rechnung-Nr"),
        ("de", "Vertrag", "Verträge Vertrags Verträgen vertragen", "X X X X"),
        ("de-CH", "Kunde", "Kunden Kundin Kunde", "X Kundin X"),
        ("es", "factura electrónica", "facturas electrónicas, factura", "X, factura"),
        ("es", "camión", "camiones camión camioneta", "X X camioneta"),
        ("es", "luces", "las luces", "las X"),
        ("fr", "facture", "les factures", "les X"),
        ("en", "C++", "c++ and c", "X and c"),
        ("en", "new york office", "the New-York  offices", "the X"),
        ("en", "mail", "mail@example.org, e-mail, www.mail.com/mail", "mail@example.org, e-mail, www.mail.com/mail"),
        ("en", "bill", "My name is Bill and my bill is here", "My name is Bill and my X is here"),
        ("en", "", "nothing", "nothing"),
        ("en", "?", "nothing?", "nothing?"),
    ],
)
async def test_which_words_are_the_term(language: str, term: str, text: str, answer: str) -> None:
    assert await FaithfulTranslator(Inner(), [(term, "X")]).translate(text, language, "xx") == answer


async def test_terms_begin_a_sentence_with_a_capital() -> None:
    translator = FaithfulTranslator(Inner(), [("invoice", "factura"), ("phone", "iPhone")])
    for text, answer in (
        ("Invoice? Yes, the invoice. Invoices!", "Factura? Yes, the factura. Factura!"),
        ("invoice", "factura"),
        ("Phone, please.", "iPhone, please."),
        ("¿Invoice?", "¿Factura?"),
    ):
        assert await translator.translate(text, "en", "es") == answer


async def test_hints_go_on_with_the_glossary() -> None:
    inner = Inner()
    hints = Hints(context=(("Hi", "Hola"),), glossary=(("shop", "Laden"),), formality="formal")
    answer = await FaithfulTranslator(inner, GLOSSARY[:1]).translate("the shop's invoice", "en", "de", hints)
    assert answer == "the Laden's Rechnung"
    assert inner.hints == [replace(hints, glossary=(("shop", "Laden"), ("invoice", "Rechnung")))]


async def test_a_text_that_has_such_a_word() -> None:
    inner = Inner()
    text = "The invoice zqvbbk ZQV bbk and zqx."
    assert await FaithfulTranslator(inner, GLOSSARY).translate(text, "en", "de") == text.replace("invoice", "Rechnung")
    assert len(inner.asked) == 1


@pytest.mark.parametrize(
    "damage",
    [str.upper, str.title, lambda text: text.replace("zqv", "zqv "), lambda text: STAND_IN.sub(r"\g<0> \g<0>", text)],
)
async def test_stand_ins_that_can_still_be_read(damage: Callable[[str], str]) -> None:
    inner = Inner(damage)
    answer = await FaithfulTranslator(inner, GLOSSARY).translate("the invoice", "en", "de")
    assert answer.endswith("Rechnung")
    assert len(inner.asked) == 1


@pytest.mark.parametrize(
    "damage",
    [without("zqvbck"), lambda text: text.replace("zqvbck", "zqvk"), lambda text: text.replace("zqvbck", "qvbck")],
)
async def test_a_lost_stand_in_gives_up_that_term_only(damage: Callable[[str], str]) -> None:
    inner = Inner(damage)
    answer = await FaithfulTranslator(inner, GLOSSARY).translate("Pay the invoice for the order.", "en", "de")
    assert answer == "Pay the Rechnung for the order."
    assert inner.asked[1:] == ["Pay the zqvbbk for the order."]


async def test_when_all_stand_ins_are_lost_the_sentence_goes_plain() -> None:
    inner = Inner(without(r"zqv\w+"))
    assert await FaithfulTranslator(inner, GLOSSARY).translate("the invoice, order", "en", "de") == "the invoice, order"
    assert len(inner.asked) == 2
    inner = Inner(without(r"zqvbck"), without(r"zqvbbk"), str)
    text = "the invoice of order AB-1"
    assert await FaithfulTranslator(inner, GLOSSARY).translate(text, "en", "de") == text
    assert len(inner.asked) == 3


@pytest.mark.parametrize("broken", [fail, crash])
async def test_the_first_translation_stands_when_the_second_fails(broken: Callable[[str], str]) -> None:
    inner = Inner(lambda text: text.replace("zqvbck", "qvbck"), broken)
    answer = await FaithfulTranslator(inner, GLOSSARY).translate("Pay the invoice for order 55 now", "en", "de")
    assert answer == "Pay the Rechnung for 55 now (Auftrag)"
    inner = Inner(without("AB-1234"), broken)
    answer = await FaithfulTranslator(inner).translate("Send AB-1234 today.", "en", "de")
    assert answer == "Send  today. (AB-1234)"


async def test_the_first_failure_is_the_callers() -> None:
    with pytest.raises(EngineError, match="broke"):
        await FaithfulTranslator(Inner(fail), GLOSSARY).translate("the invoice", "en", "de")


async def test_what_the_translator_loses_goes_behind_a_stand_in() -> None:
    inner = Inner(without(r"\bAB-1234|\b50"))
    text = "Send AB-1234, the invoice, for $50 to Ann."
    answer = await FaithfulTranslator(inner, GLOSSARY, ["Ann"]).translate(text, "en", "de")
    assert answer == "Send AB-1234, the Rechnung, for $50 to Ann."
    assert inner.asked[1] == "Send zqvbbk, the zqvbck, for zqvbdk to Ann."


async def test_numbers_may_be_written_another_way() -> None:
    inner = Inner(lambda text: text.replace("1,234.50", "1.234,50"))
    assert await FaithfulTranslator(inner).translate("It is $1,234.50.", "en", "de") == "It is $1.234,50."
    assert len(inner.asked) == 1


@pytest.mark.parametrize("second", [without(r"\d|zqv\w+"), without(r"\d|qv..k"), lambda _: ""])
async def test_what_is_lost_all_the_same_comes_in_brackets(second: Callable[[str], str]) -> None:
    inner = Inner(without(r"\d"), second)
    answer = await FaithfulTranslator(inner, GLOSSARY).translate("Pay 15 of 20 for the invoice.", "en", "de")
    assert answer == "Pay  of  for the Rechnung. (15, 20)"
    assert len(inner.asked) == 2


async def test_an_inner_translator_that_says_nothing() -> None:
    assert await FaithfulTranslator(Inner(lambda _: ""), GLOSSARY).translate("Hello.", "en", "de") == ""
    assert await FaithfulTranslator(Inner(lambda _: ""), GLOSSARY).translate("invoice 5", "en", "de") == "(5)"


async def test_more_terms_than_stand_ins() -> None:
    text = " ".join(["invoice"] * 200)
    answer = await FaithfulTranslator(Inner(), GLOSSARY).translate(text, "en", "de")
    assert set(answer.split()) == {"Rechnung", "invoice"}


WORDS = st.sampled_from("invoice invoices order zqv zqvbbk ZQV qvb AB-1234 1,234.50 a@b.de Mr Smith . , ? é".split(" "))
TEXT = st.lists(st.one_of(WORDS, st.just(" "), st.text(max_size=5)), max_size=15).map("".join)


@given(TEXT)
async def test_without_damage_nothing_changes(text: str) -> None:
    inner = Inner()
    assert await FaithfulTranslator(inner, names=["Smith"]).translate(text, "en", "de") == text
    assert inner.asked == [text]


@given(
    TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=4), st.sampled_from([str, str.upper, without("b"), without("z.v")])
)
async def test_no_stand_in_is_ever_left(
    text: str, glossary: list[tuple[str, str]], damage: Callable[[str], str]
) -> None:
    inner = Inner(damage)
    answer = await FaithfulTranslator(inner, [*glossary, *GLOSSARY]).translate(text, "en", "de")
    ours = " ".join([text, *(shown for _, shown in [*glossary, *GLOSSARY])]).casefold()
    stand_ins = {word for asked in inner.asked for word in re.findall(r"(?=([a-z]{5,6}k))", asked)}
    assert not [word for word in stand_ins if word not in ours and word in answer.casefold()]
    assert len(inner.asked) <= 3


class Counting:
    name = "apertium"

    def __init__(self, engine: ApertiumTranslator) -> None:
        self.engine = engine
        self.calls = 0

    async def warm(self, source: str, target: str) -> None:
        await self.engine.warm(source, target)

    async def translate(self, text: str, source: str, target: str, hints: Hints = NO_HINTS) -> str:
        self.calls += 1
        return await self.engine.translate(text, source, target)


installed = ApertiumTranslator()
SPANISH = {("en", "es"), ("es", "en")}
EN_ES = [("invoice", "factura"), ("order", "pedido"), ("refund", "reembolso"), ("Kallglot Plus", "Kallglot Plus")]
EN_ES += [
    ("tracking number", "número de seguimiento"),
    ("sales department", "departamento comercial"),
    ("plan", "tarifa"),
]
ES_EN = [(spanish, english) for english, spanish in EN_ES] + [("presupuesto", "quote"), ("alta", "sign-up")]
NAMES = ["Rose", "Grace", "Paz Cruz", "Mark", "Sol"]

ENGLISH = """
Hello, my name is Rose Brown and my order is AB-1234.
I would like to pay invoice 2024-0815 of $1,234.50.
Please send the invoice to bob.smith@example.org today.
My tracking number is 4F7 K2, can you check it?
Can you call me back at +49 30 1234567 at 10:30?
The refund of 49.99 has not arrived.
Invoices are late every month.
This is Grace Hill speaking from the sales department.
I ordered 3 phones and 2 chargers on 05/03/2024.
Is Mr. Stone there? I have a question about my invoice.
Mrs. Field said that the plan costs 25 % less.
My orders are AB-1234, CD-5678 and EF-9012.
Go to https://example.org/help?id=7 and enter code X9Z4.
The order was sent on the 3rd of May to Dr. King.
I want to cancel the order, the refund is not important.
Is it the invoice? Yes, the invoice.
We moved to flight LH 400, gate B12, at 18:45.
Orders, invoices, refunds: who is responsible?
"Refund" is what I said, not "order".
My order's number is 55021.
The old plan (Kallglot Plus) was better!
Mark will call, and Paz Cruz will write.
I have two invoices; one is paid, 1,000 euros.
Do you want an order or a refund?
My serial number is SN-00A7-22B and the PIN is 0042.
Please change my address to 221 Baker Street, code NW1 6XE.
Sales departments close at 5pm.
The total is 1 234 567 dollars and 89 cents.
Can I speak to Mr. White about tracking number 1Z999AA10123456784?
Write to info@kallglot.com or call (030) 123-4567.
Refunds take 5 to 10 days, the invoice is 30 days old.
Kallglot Plus is €19.90 a month, $21.50 with tax.
""".strip().splitlines()

SPANISH_TEXT = """
Hola, me llamo Sol Blanco y mi pedido es AB-1234.
Quiero pagar la factura 2024-0815 de 1.234,50 €.
Por favor mande la factura a bob.smith@example.org hoy.
Mi número de seguimiento es 4F7 K2, ¿puede mirarlo?
¿Me puede llamar al +34 91 1234567 a las 10:30?
El reembolso de 49,99 no ha llegado.
Las facturas llegan tarde cada mes.
Mi nombre es Paz Cruz, del departamento comercial.
Pedí 3 teléfonos y 2 cargadores el 05/03/2024.
¿Está el señor Piedra? Tengo una pregunta sobre mi factura.
La señora Campo dijo que la tarifa cuesta un 25 % menos.
Mis pedidos son AB-1234, CD-5678 y EF-9012.
Vaya a https://example.org/ayuda?id=7 y ponga el código X9Z4.
El pedido salió el 3 de mayo para el señor Rey.
Quiero cancelar el pedido, el reembolso no importa.
¿Es la factura? Sí, la factura.
Cambiamos al vuelo LH 400, puerta B12, a las 18:45.
Pedidos, facturas, reembolsos: ¿quién es responsable?
Dije "reembolso", no "pedido".
El número de mi pedido es 55021.
¡La tarifa vieja (Kallglot Plus) era mejor!
Mark llamará y Paz Cruz escribirá.
Tengo dos facturas; una está pagada, 1.000 euros.
¿Quiere un pedido o un reembolso?
Mi número de serie es SN-00A7-22B y el PIN es 0042.
Cambie mi dirección a calle Mayor 221, código 28013.
Los departamentos comerciales cierran a las 17.
El total es 1 234 567 dólares con 89 centavos.
¿Puedo hablar con la señora Blanco del número de seguimiento 1Z999AA10123456784?
Escriba a info@kallglot.com o llame al (030) 123-4567.
Los reembolsos tardan de 5 a 10 días, la factura tiene 30.
Quiero un presupuesto para el alta de 12 líneas.
""".strip().splitlines()


@pytest.mark.speech
@pytest.mark.skipif(installed.missing() is not None or not installed.pairs >= SPANISH, reason=str(installed.missing()))
class TestReal:
    @pytest.fixture
    async def engine(self) -> AsyncIterator[Counting]:
        engine = ApertiumTranslator(timeout_s=5)
        await engine.start()
        yield Counting(engine)
        await engine.close()

    @pytest.mark.parametrize(
        ("source", "target", "sentences", "glossary"),
        [("en", "es", ENGLISH, EN_ES), ("es", "en", SPANISH_TEXT, ES_EN)],
        ids=["en-es", "es-en"],
    )
    async def test_everything_survives(
        self, engine: Counting, source: str, target: str, sentences: list[str], glossary: list[tuple[str, str]]
    ) -> None:
        translator = FaithfulTranslator(engine, glossary, NAMES)
        asked = 0
        for sentence in sentences:
            engine.calls = 0
            answer = await translator.translate(sentence, source, target)
            asked += engine.calls
            assert missing(keepsakes(sentence, NAMES), answer) == [], (sentence, answer)
            assert not STAND_IN.search(answer), (sentence, answer)
            for term, shown in glossary:
                if re.search(rf"(?<!\w){term}(?!\w)", sentence, re.IGNORECASE):
                    assert shown.casefold() in answer.casefold(), (sentence, answer)
            assert engine.calls <= 2
        assert asked <= len(sentences) * 1.5


async def test_the_first_answer_is_kept_when_another_attempt_runs_out_of_time() -> None:
    class Slow:
        name = "slow"
        asked = 0

        async def warm(self, source: str, target: str) -> None:
            pass

        async def translate(self, text: str, source: str, target: str, hints: Hints) -> str:
            self.asked += 1
            if self.asked > 1:
                await asyncio.Event().wait()
            return "sin número"

    slow = Slow()
    translated = await FaithfulTranslator(slow, timeout_s=0.05).translate("number 4711 please", "en", "es")
    assert translated == "sin número (4711)"
    assert slow.asked == 2
