"""Conversations as the server keeps them, written for the tests: real ones are nobody's to publish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kallglot.analysis.spoken import Conversation, Spoken, Version

ENGLISH = """
agent: Good morning, thank you for calling Northwind Broadband, this call is being recorded, how can I help you?
customer: Hi, yes. My internet has been down since yesterday evening and I work from home, so this is a real problem.
agent: I'm sorry to hear that. Can I have your account number please?
customer: It is four four seven one two.
agent: Thank you. Which lights are on at your router right now?
customer: The power light is green, but the internet light is red. I have restarted the router three times already.
agent: Okay, let me run a line test. This takes about a minute.
customer: Sure. I have to say I am really disappointed, this is the second outage this month.
agent: I understand, that is frustrating. I can see the line test failed. There is a fault at the street cabinet.
customer: So it is not my router? I nearly bought a new one.
agent: No, your router is fine. I will book a technician for the street cabinet tomorrow between eight and ten.
customer: Tomorrow is late. I have a video conference at nine.
agent: I can send you a mobile data voucher for twenty gigabytes so that you can work until the technician has been.
customer: Oh, that would be great, thank you.
agent: The voucher is on its way to your phone. I have also credited one month of your internet bill.
customer: Perfect. That is very kind, I am happy with that.
agent: Is there anything else I can do for you today?
customer: No, that is all. Thanks for your help.
agent: Thank you for your patience. The technician comes tomorrow between eight and ten. Goodbye!
"""

GERMAN = """
agent: Guten Tag, hier ist die Möbelwelt, mein Name ist Sommer. Was kann ich für Sie tun?
customer: Guten Tag. Ich habe vor drei Wochen ein Sofa bestellt, und die Lieferung ist immer noch nicht da.
agent: Das tut mir leid. Haben Sie die Bestellnummer zur Hand?
customer: Ja, die Bestellnummer ist sieben acht neun. Ich bin wirklich verärgert, niemand ruft zurück.
agent: Ich sehe die Bestellung. Das Sofa steht seit gestern im Lager in Leipzig.
customer: Und warum sagt mir das keiner? Das ist eine Katastrophe, ich habe mir zweimal freigenommen.
agent: Ich buche Ihnen die Lieferung für Donnerstag zwischen neun und zwölf Uhr. Passt Ihnen das?
customer: Donnerstag passt. Was ist mit den Lieferkosten?
agent: Die Lieferkosten erstatten wir Ihnen, das sind neunundvierzig Euro.
customer: Gut, damit bin ich zufrieden. Vielen Dank.
agent: Sehr gern. Haben Sie noch Fragen?
customer: Nein danke, auf Wiederhören.
agent: Auf Wiederhören und einen schönen Tag.
"""

SPANISH = """
agent: Buenos días, gracias por llamar a Viajes Sol, ¿en qué puedo ayudarle?
customer: Hola, quiero cambiar la fecha de mi vuelo a Lisboa.
agent: Claro. ¿Me da su número de reserva?
customer: Es el dos cinco cero. El cambio por la página web no funciona, es un desastre.
agent: Lamento el problema con la página. El vuelo del viernes a Lisboa cuesta treinta euros más.
customer: Me parece caro, pero necesito volar el viernes.
agent: Puedo quitarle la tarifa de cambio, y así paga solo treinta euros por el vuelo.
customer: Perfecto, muchas gracias, es usted muy amable.
agent: El vuelo a Lisboa queda para el viernes a las nueve. ¿Necesita alguna otra cosa?
customer: No, eso es todo. Adiós.
agent: Que tenga buen viaje. Adiós.
"""


def turns(
    written: str, language: str, *, translated: dict[str, Sequence[str]] | None = None, gap_ms: int = 700
) -> tuple[Spoken, ...]:
    """A line a turn, spoken at 400 ms a word with ``gap_ms`` between; ``translated`` by language, a text a turn."""
    found: list[Spoken] = []
    now = 1000
    for number, line in enumerate((line for line in written.splitlines() if line.strip()), 1):
        speaker, _, text = line.partition(": ")
        end = now + 400 * len(text.split())
        versions = tuple(Version(other, texts[number - 1]) for other, texts in (translated or {}).items())
        found.append(Spoken(f"turn_{number}", number, f"part_{speaker}", speaker, language, text, now, end, versions))
        now = end + gap_ms
    return tuple(found)


def conversation(written: str, language: str, **changes: Any) -> Conversation:
    return Conversation(turns(written, language), {"customer": language, "agent": language}, **changes)


def turn(speaker: str, start_ms: int, end_ms: int, text: str = "eins zwei", **changes: Any) -> Spoken:
    number = changes.pop("number", start_ms + 1)
    given = {"language": "de", "translations": (), "participant_id": f"part_{speaker}"} | changes
    return Spoken(
        id=f"turn_{number}", sequence=number, speaker=speaker, text=text, start_ms=start_ms, end_ms=end_ms, **given
    )
