"""Words and sentences of a text, and which words say nothing by themselves.

Words are compared *folded*: without case and accents, as recognisers and translators leave accents out now and then.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

LONGEST_SENTENCE: Final = 240

_WORD: Final = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*(?:['’][^\W\d_]+)?")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?…])[\"'»”’)\]]*\s+")
_PRINTED: Final = re.compile(r"\s+")

# Articles, pronouns, prepositions, auxiliaries, and what people say on the telephone while they think.
_STOP: Final = {
    "en": """a about above after again against all almost already also although always am an and another any
        anybody anyone anything anyway are aren't around as at away back be because been before being below between
        both bit but by call called calling came can can't cannot come comes coming could couldn't course did didn't do
        does doesn't doing don't done down during each either else enough even ever every everything exactly few first
        fine for from further get gets getting give gives go goes going gonna good got great had hadn't hang has hasn't
        have haven't having he hello help her here hers herself hey hi him himself his hold how however i i'd i'll i'm
        i've if in indeed into is isn't it it's its itself just kind know last least less let let's like little long
        look looking lot made make makes many may maybe me mean might mine minute moment more most much must my myself
        name need needs never new next no nobody none nope nor not nothing now of off often oh ok okay on once one ones
        only onto or other others our ours ourselves out over own particularly people perhaps please possible pretty
        probably put quite rather really right said same say saying says second see seem seems self shall she she'd
        she's should shouldn't since so some somebody someone something soon sorry sort speak speaking still such sure
        take takes talk talking tell than thank thanks that that'll that's the their theirs them themselves then there
        there's these they they'd they'll they're they've thing things think this those though three through till time
        to today together told too took toward towards try trying two uh uhm um under until up upon us use used using
        very want wanted wants was wasn't way we we'd we'll we're we've well went were weren't what what's whatever
        when where where's whether which while who who's whole whom whose why will with within without won't would
        wouldn't yeah yep yes yet you you'd you'll you're you've your yours yourself welcome afternoon morning evening
        day hear wait work works working thing's ask asked able could've""",
    "de": """ab aber ach all alle allem allen aller allerdings alles als also am an ander andere anderem anderen
        anderer anderes anders anruf anrufen auch auf aus bei beim beiden bereits besser bin bis bisschen bist bitte
        bleiben da dabei dadurch dafür dagegen daher dahin damals damit danach daneben dank danke dann daran darauf
        daraus darf darin darüber darum das dass dasselbe davon davor dazu dein deine deinem deinen deiner dem den
        denen denn dennoch der deren derselbe des deshalb dessen dich die dies diese diesem diesen dieser dieses dir
        doch dort du durch dürfen eben ebenfalls eigentlich ein eine einem einen einer eines einfach einige einiges
        einmal er erst erste ersten es etwa etwas euch euer eure fast ferner für gab ganz ganze gar geben gegen geht
        gehen gemacht genau genug gerade gern gerne gesagt geworden gibt ging gleich gut guten gute hab habe haben
        hallo hat hatte hatten hätte hätten her herr frau heute hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren
        ihrer ihres im immer in indem ins irgendwie ist ja je jede jedem jeden jeder jedes jedoch jemand jene jetzt kam
        kann kannst kein keine keinem keinen keiner kommen kommt konnte können könnte könnten könnten leider lassen
        machen macht mal man manche mehr mein meine meinem meinen meiner mich mir mit möchte möchten moment morgen muss
        müssen müsste nach nachdem nächste nächsten natürlich neben nein nicht nichts nie niemand noch nun nur ob oben
        oder ohne okay ok paar richtig sagen sagt schauen schon sehe sehen sehr sei seien sein seine seinem seinen
        seiner seit selbst sich sicher sie sind so sobald sogar solche soll sollen sollte sollten sondern sonst soviel
        sowie sprechen tag tun über überhaupt um und uns unser unsere unserem unseren unter verstehe viel viele vielen
        vielleicht vom von vor vorher wann war waren warten wäre warum was weg wegen weil weiter welche welchem welchen
        welcher wenn wer werde werden wie wieder will wir wird wirklich wo wohl wollen wollte worden wurde wurden würde
        würden zu zum zur zurück zwar zwei zwischen äh ähm hm mhm gell ne gerne rufe nochmal kurz schönen auf
        wiederhören""",
    "es": """a acuerdo adiós ah ahí ahora al algo alguien alguna algunas alguno algunos allá allí ambos ante antes
        aquel aquella aquello aquí así aún aunque ayudar bajo bastante bien bueno buena buenas buenos cada casi claro
        como cómo con conmigo conoce contra cosa cosas cual cuál cuales cualquier cuando cuándo cuanto cuánto cuya cuyo
        da dar de deber debe decir dejar del demás dentro desde después día días dice digo donde dónde dos durante e eh
        el él ella ellas ellos embargo en encima entonces entre era eran eres es esa esas ese eso esos esta ésta está
        estaba estado están estar estas este esto estos estoy favor fin fue fuera fueron gracias gran gustaría ha haber
        había habla hablar hablo hace hacer hacia haciendo han has hasta hay he hecho hemos hola hoy hubo igual incluso
        ir jamás junto la las le les listo llama llamada llamar llamo lo los luego llega mas más me mejor menos mi mí
        mientras mío mire mis misma mismo momento mucha muchas mucho muchos muy nada nadie necesito ni ningún ninguna
        no noches nos nosotros nuestra nuestro nueva nuevo nunca o os otra otras otro otros para parece parte pero poca
        poco podemos poder podría podrían por porque pronto pude pueda puede pueden puedo pues que qué quien quién
        quiere quiero quizá sabe sé sea según segundo señor señora ser será si sí sido siempre siendo sin sino sobre
        sois solo sólo somos son soy su sus suya suyo sí tal también tampoco tan tanto tardes te tener tendrá tengo ti
        tiempo tiene tienen toda todas todavía todo todos tres tu tú tus un una unas uno unos usted ustedes va vale
        vamos van varias varios ve veces ver verdad vez voy vuelve y ya yo""",
    "fr": """a à ah ai ainsi allez allô alors appel appelle appeler après as assez au aucun aucune aujourd'hui
        auquel aussi autre autres aux avait avant avec avez avoir avons bien bon bonjour bonne bonsoir c ça car ce ceci
        cela celle celles celui ces cet cette ceux chaque chez chose comme comment d dans de déjà demain depuis des dès
        deux dire dis dit dois doit donc dont du elle elles en encore enfin entre es est et étaient était étant été
        être eu eux faire fais fait faut hein hier ici il ils j je jour journée jusque l la là laquelle le lequel les
        leur leurs lors lui m ma madame mais maintenant me même mêmes merci mes mieux mis moi moins moment mon monsieur
        n ne ni non nos notre nous on ont ou où ouais oui par parce parle parler pas passer peu peut peux plus
        plusieurs plutôt pour pourquoi pourrait pourriez pouvez prendre presque puis puisque qu quand que quel quelle
        quelles quelque quelques quels qui quoi rien s sa sais sans se sera ses si sinon soit son sont sous suis sur t
        ta tant te tel tellement tes toi ton toujours tous tout toute toutes très trop tu un une unes va vais vers veux
        voici voilà voir vos votre voudrais vous vraiment y accord euh ben plaît""",
    "it": """a abbiamo adesso ah ai al alla alle allo allora altra altre altri altro anche ancora aspetti avere
        aveva avete basta bene buona buongiorno buonasera c che chi chiamo chiama ci ciao cioè circa ciò come con cosa
        così cui d da dagli dai dal dalla dalle davvero degli dei del della delle dello dentro deve devo di dice dire
        dopo dove due e è ecco ed era erano essere fa faccio fare fatto favore forse fra già giorno giusto gli grazie
        ha hai hanno ho i il in infatti invece io l la le lei li lo loro lui ma mai me meno mentre mi mia mie miei mio
        molta molti molto momento ne negli nei nel nella nelle nessuno niente no noi non nostra nostro nulla o ogni
        oppure ora per perché perfetto però più piacere poco poi posso potrebbe può pure qualche quale quali quando
        quanto quasi quella quelle quelli quello questa queste questi questo qui quindi s sa salve sarebbe scusi se
        sempre senza si sì siamo signora signore solo sono sopra sotto sta stata stato su sua sue sugli sul sulla suo
        suoi tanto te ti tra tre tu tua tuo tutta tutte tutti tutto un una uno va vado vi volta vorrei vostra vostro""",
    "pt": """a acho agora ah aí ainda algo alguém algum alguma ali alô antes ao aos aquela aquele aqui aquilo as às
        assim até bem boa bom cada certo claro coisa com como comigo contra da dar das de dela dele demais depois desde
        dessa desse desta deste deve dia disso do dois dos e é ela elas ele eles em então entre era eram essa esse esta
        está estão estar estava este estou eu fala falar faz fazer favor foi for foram gostaria há hoje isso isto já la
        lá lhe ligar logo mais mas me melhor mesmo meu meus minha minhas momento muita muito muitos na nada não nas nem
        nenhum ninguém no noite nos nós nossa nosso num numa nunca o obrigada obrigado oi olá onde os ou outra outro
        para pela pelo pode poderia pois por porque posso pouco pra preciso pronto qual qualquer quando quanto que quem
        quer quero se sei sem sempre senhor senhora ser será seu seus sim só sobre somos sou sua suas também tão tarde
        te tem temos tenho ter teria tinha toda todas todo todos tu tudo um uma umas uns vai vamos você vocês vou""",
    "nl": """aan af al alle alleen alles als altijd ander andere anders ben bent bel bellen bij bijna blijven daar
        daarom dag dan dank dat de deze die dit doe doen doet door dus echt een eens eerst elk elke en enkele er erg
        even ga gaan gaat geen gedaan geven gewoon goed goede goedemiddag goedemorgen graag had hallo heb hebben heeft
        heel helemaal helpen hem hen het hier hij hoe hoor hun ik in is ja je jij jou jouw jullie kan klopt komen komt
        kon kunnen kunt laat later maar maken man me mee meer meneer men mevrouw met mij mijn misschien moet moeten
        mogen moment na naar natuurlijk nee net niet niets nog nooit nou nu of oh oké om omdat onder ons onze ook op
        over paar precies sinds spreek spreken straks te tegen ten toch toe toen tot twee u uit uw van veel vind
        volgens voor vraag waar waarom want waren was wat we weer weet wel welke werd weten wie wij wil willen worden
        wordt zal ze zeg zeggen zei zeker zelf zich zie zien zij zijn zo zoals zonder zou zouden""",
}
_NUMBERS: Final = {
    "en": """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty thirty
        forty fifty sixty seventy eighty ninety hundred thousand double half""",
    "de": """null eins zwo drei vier fünf sechs sieben acht neun zehn elf zwölf zwanzig dreißig vierzig fünfzig sechzig
        siebzig achtzig neunzig hundert tausend halb""",
    "es": """cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece quince veinte treinta cuarenta
        cincuenta sesenta setenta ochenta noventa cien ciento mil media""",
    "fr": """zéro deux trois quatre cinq six sept huit neuf dix onze douze quinze vingt trente quarante cinquante
        soixante cent mille demi""",
    "it": """zero uno due tre quattro cinque sei sette otto nove dieci undici dodici venti trenta quaranta cinquanta
        cento mille""",
    "pt": "zero dois duas três quatro cinco seis sete oito nove dez onze doze vinte trinta quarenta cinquenta cem mil",
    "nl": "nul één twee drie vier vijf zes zeven acht negen tien elf twaalf twintig dertig veertig vijftig honderd",
}
_ELIDED: Final = frozenset(("fr", "it"))
"""Languages that write ``l'ordinateur``: what is before the apostrophe is a word of its own."""

LANGUAGES: Final = frozenset(_STOP)


@dataclass(frozen=True, slots=True)
class Word:
    """``folded`` is what words are compared by; ``first`` in its sentence, where a capital says nothing."""

    text: str
    folded: str
    first: bool = False


def folded(text: str) -> str:
    return unaccented(text.casefold().replace("’", "'"))


def unaccented(text: str) -> str:
    """Latin letters without their marks; ``ss`` for ``ß``. What is in another script stays."""
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFD", text.replace("ß", "ss"))
    return unicodedata.normalize("NFC", "".join(_bare(plain)))


def _bare(decomposed: str) -> Iterator[str]:
    latin = False
    for character in decomposed:
        if unicodedata.combining(character):
            if not latin:
                yield character
        else:
            latin = character < "\u0250"
            yield character


def sentences(text: str) -> list[str]:
    """One line each."""
    found = (_PRINTED.sub(" ", one).strip() for one in _SENTENCE_END.split(text))
    return [one for one in found if any(character.isalnum() for character in one)]


def words(sentence: str, language: str) -> list[Word]:
    found: list[Word] = []
    for match in _WORD.finditer(sentence):
        pieces = re.split("['’]", match.group()) if language in _ELIDED else [match.group()]
        found.extend(Word(piece, folded(piece), not found) for piece in pieces if piece)
    return found


def says_nothing(word: Word, language: str) -> bool:
    """Whether it is one of the words that every conversation has."""
    return len(word.folded) < 3 or word.folded in _stop_words(language)


def shortened(sentence: str, limit: int = LONGEST_SENTENCE) -> str:
    """Cut between words, with an ellipsis, where it is longer than ``limit``."""
    if len(sentence) <= limit:
        return sentence
    cut = sentence[: limit - 1]
    space = cut.rfind(" ")
    return (cut[:space] if space > limit // 2 else cut).rstrip(" ,;:–-") + "…"


@cache
def _stop_words(language: str) -> frozenset[str]:
    return frozenset(folded(word) for some in (_STOP, _NUMBERS) for word in some.get(language, "").split())
