"""Words that please and words that do not, for the counting in :mod:`kallglot.analysis.sentiment`.

Written for conversations with customers. ``*`` stands for any ending. Words of mere courtesy (please,
thanks, sorry) are left out: everybody says them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from kallglot.analysis.words import folded

_POSITIVE: Final = {
    "en": """amaz* appreciat* awesome beautiful* best better brilliant comfortabl* convenien* delight* easier easy
        enjoy* excellent excit* fantastic fixed friendly glad good grateful great happier happy helpful impress* love
        loved lucky nice perfect* pleasure recommend* relief relieved reliabl* resolved satisf* smooth* solved super
        superb terrific thankful thrilled wonderful* works worked pleased pleasant* pleasing kindly kindness lovely
        kind""",
    "de": """angenehm* ausgezeichnet* begeister* besser bestens dankbar* einfach* empfehl* erfolgreich* erfreu*
        erleichter* exzellent* fantastisch* freu* freundlich* froh funktioniert gefällt gelöst gelungen genial*
        glücklich* großartig* gut gute guter gutes herzlich* hervorragend* hilfreich* kompetent* lieb lieben nett*
        perfekt* prima problemlos* schnell* schön* spitze super sympathisch* toll* vorzüglich* wunderbar* wunderschön*
        zufrieden* beste besten bester bestes herrlich""",
    "es": """agradable* agradec* alegr* amable* bien bonit* buen* contento contenta contentos encant* estupend*
        excelente* extraordinari* facil feliz felices fantastic* fenomenal funciona genial* increible* ilusion*
        maravillos* mejor* perfect* placer rapid* recomiend* recomendar resuelt* satisfech* satisfactori* solucionad*
        util* tranquil* gusta gusto encanta fácil""",
    "fr": """admirabl* agréabl* aimabl* apprécie* bien beau belle content* efficac* enchant* excellent* facil*
        fantastiqu* formidabl* génial* gentil* heureu* idéal* impeccabl* incroyabl* joli* magnifiqu* marche meilleur*
        merveilleu* parfait* plaisir pratique* rapid* ravi* recommand* réglé résolu* satisfait* satisfaisant* super
        sympa* utile* bonne bon""",
}
_NEGATIVE: Final = {
    "en": """angry annoy* appall* awful bad badly broke broken bug bugs cancel* cheat* complain* complaint* confus*
        crash* damag* defect* delay* desperate* difficult* disappoint* disgust* dreadful error* expensive fail fails
        failed failing failure* fault* fed fraud* frustrat* furious hate hated horribl* hurt impossible incompeten*
        inconvenien* incorrect* issue* joke lawyer late lie lied lies lost lying mess mistake* nightmare outrag*
        overcharg* overpriced pain* pathetic poor poorly problem* refus* ridiculous* rip-off rude scam slow stress*
        stuck stupid sucks sue terribl* tired trouble* unaccept* unfair unfortunately unhappy unpleasant unprofession*
        upset useless wast* worr* worse worst wrong""",
    "de": """abgestürzt absturz abzock* angst anwalt ärger* aufgebracht beschädigt* beschwer* betrug betrogen
        betrüg* blöd* defekt* dumm doof enttäusch* entsetz* falsch* fehler* fehlgeschlagen frech* frust* furchtbar*
        fürchterlich* genervt grässlich grauenhaft* hass* inakzeptab* inkompetent* kaputt* katastroph* kompliziert
        kündig* lange langsam* lästig leider lügen lüge lügt mangelhaft* mies* mist nerv* peinlich* pech probleme*
        problem reklam* sauer schade schaden schlampig* schlecht* schlimm* schrecklich* schwierig* sinnlos störung*
        stör* teuer traurig* übel* umständlich unangenehm* unbrauchbar* unerhört* unfähig* unfreundlich* ungeduldig*
        unglaublich unmöglich* unprofessionell* unverschämt* unzufrieden* unzumutbar* verärgert* verloren* verlust
        verspät* verzweif* vergeblich* wut wütend* zornig""",
    "es": """abogad* aburrid* cancelar cancel* carísim* cansad* complicad* confus* culpa decepci* defect* demanda
        denunci* desagradable* desast* descontent* desesper* difícil* disgust* dolor enfad* engañ* enojad* equivocad*
        error* estaf* estropead* fatal fatales fall* fraude frustr* fastidi* fracas* furios* grosser* harta harto
        hartos horribl* imposible* inaceptabl* incompeten* incorrect* indignant* injust* insoport* inútil* lenta lento
        lentos mal mala malas malo malos mentir* molest* nervios* odio pena peor* pérdida perdid* pésim* preocup*
        problema* queja* quejar* rabia reclam* retras* ridícul* rota roto rotos sucio terribl* triste* vergüenza
        vergonzos*""",
    "fr": """abîmé* affreu* agaç* angoiss* annul* arnaqu* avocat bloqué* cassé* catastroph* colère compliqué*
        confus* déçu* décev* déception défaut défectueu* désagréabl* désespér* désastr* difficil* dommage échec échoué*
        énerv* ennui* ennuy* erreur* escroqu* fâché* fatigué* faux fausse frustr* furieu* grossi* horribl* honte
        honteu* impossible* inacceptabl* inadmissibl* incompét* incorrect* injust* insupportabl* inutil* inquiet*
        inquiét* lent lente mal malheureu* mauvais* mensonge* mécontent* médiocre* menti nul nulle panne* perdu*
        pénible* peur pire plaint* plaindre problème* raté* réclam* retard* ridicul* scandal* terribl* triste* trompé*
        voleur*""",
}
_FACTS: Final = {
    "en": """broke broken bug* cancel* complaint* damag* defect* delay* difficult* error* expensive fail* fault
        impossible incorrect* issue* late lost mistake* poor poorly problem* slow stuck trouble* unfortunately wrong""",
    "de": """absturz beschwer* defekt* falsch* fehler* fehlgeschlagen kaputt* kompliziert kündig* lange langsam* leider
        problem* reklam* schade* schwierig* stör* teuer unmöglich* verloren* verlust verspät*""",
    "es": """cancel* complicad* defect* dificil* equivocad* error* estropead* fall* imposible* incorrect* lento lenta
        mal perdid* problema* queja* reclam* retras* rota roto""",
    "fr": """annul* bloqué* cassé* compliqué* difficil* défaut défectueu* erreur* faux fausse impossible* lent lente mal
        malheureu* panne* perdu* plaint* problème* raté* retard* réclam*""",
}
"""Negative words that name what is wrong, which an agent has to do, however friendly."""
_GREETINGS: Final = {
    "en": "good-morning good-afternoon good-evening good-day good-night good-bye",
    "de": "guten-tag guten-morgen guten-abend gute-nacht schönen-tag schönen-abend",
    "es": "buenos-días buenas-tardes buenas-noches buen-día buen-viaje",
    "fr": "bonne-journée bonne-soirée bonne-nuit",
}
_NEGATIONS: Final = {
    "en": """no not never none nobody nothing neither nor without hardly cannot can't don't doesn't didn't isn't
        wasn't aren't weren't won't wouldn't couldn't shouldn't haven't hasn't hadn't ain't""",
    "de": "nicht nichts nie niemals kein keine keinen keinem keiner keines ohne kaum weder",
    "es": "no nunca jamás sin ni tampoco nada nadie ningún ninguna ninguno",
    "fr": "pas ne n jamais sans ni rien aucun aucune plus",
}
LANGUAGES: Final = frozenset(_POSITIVE)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All words folded."""

    positive: frozenset[str]
    negative: frozenset[str]
    facts: frozenset[str]
    positive_stems: tuple[str, ...]
    negative_stems: tuple[str, ...]
    fact_stems: tuple[str, ...]
    negations: frozenset[str]
    greetings: frozenset[tuple[str, str]]
    """Two words that wish well, whatever one is like."""

    def polarity(self, word: str, role: str) -> int:
        """1, -1, or 0 for a word that is in neither list, or that names what is wrong and is an agent's."""
        if role == "agent" and (word in self.facts or word.startswith(self.fact_stems)):
            return 0
        if word in self.negative or word.startswith(self.negative_stems):
            return -1
        return 1 if word in self.positive or word.startswith(self.positive_stems) else 0


@cache
def lexicon(language: str) -> Lexicon:
    """Of one of ``LANGUAGES``."""
    positive, positive_stems = _split(_POSITIVE[language])
    negative, negative_stems = _split(_NEGATIVE[language])
    facts, fact_stems = _split(_FACTS[language])
    negations = frozenset(folded(word) for word in _NEGATIONS[language].split())
    pairs = (greeting.partition("-") for greeting in _GREETINGS[language].split())
    greetings = frozenset((folded(first), folded(second)) for first, _, second in pairs)
    return Lexicon(positive, negative, facts, positive_stems, negative_stems, fact_stems, negations, greetings)


def _split(written: str) -> tuple[frozenset[str], tuple[str, ...]]:
    some = [folded(word) for word in written.split()]
    whole = frozenset(word for word in some if not word.endswith("*"))
    return whole, tuple(word[:-1] for word in some if word.endswith("*"))
