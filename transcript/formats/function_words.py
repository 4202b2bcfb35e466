"""Function words, which show where a phrase begins, for the commonest languages of subtitles.

In other languages, a lower-case word of up to three letters is taken for the beginning of a phrase.
"""

from __future__ import annotations


def _tables(**lists: str) -> dict[str, frozenset[str]]:
    return {language: frozenset(words.split()) for language, words in lists.items()}


CLAUSE_STARTERS = _tables(
    en="""and but or nor so yet for of to in on at by as if with from into onto about over under after before
    between through during against without within than that which who whom whose when where while because although
    though unless until till since whether how what why upon towards i he she we they there""",
    de="""und oder aber denn sondern doch dass daß weil wenn als ob obwohl während bevor nachdem damit sodass wie wo
    wer was in im an am auf aus bei beim mit nach seit von vom zu zum zur durch für gegen ohne um über unter vor
    hinter neben zwischen bis ich er wir""",
    fr="""et ou mais donc car ni que qui dont où quand si comme lorsque puisque parce quoique à au aux de du des en
    dans par pour sur sous avec sans chez vers entre depuis pendant avant après je tu il elle on nous ils elles""",
    es="""y e o u pero sino porque que quien cuando donde como si aunque mientras a al de del en con por para sin
    sobre entre desde hasta hacia según ante bajo tras yo él ella nosotros ellos""",
    it="""e ed o ma perché che chi quando dove come se anche mentre a al alla ai di del della dei delle da dal dalla
    in nel nella con su sul sulla per tra fra senza dopo prima io lui lei noi loro""",
    pt="""e ou mas porque que quem quando onde como se embora enquanto a ao à de do da dos das em no na nos nas com
    por pelo pela para sem sobre entre desde até eu ele ela nós eles""",
)
"""Conjunctions, prepositions and subject pronouns: a line breaks better before than after them."""

PROCLITICS = _tables(
    en="""a an the my your his her its our their this these those every each some any no not very too more most is are
    was were am be been being has have had will would can could shall should may might must do does did don't didn't
    can't couldn't won't wouldn't it's you're you'll let's you""",
    de="""der die das den dem des ein eine einen einem einer eines mein dein sein ihr unser kein keine nicht sehr
    ist sind war waren hat haben hatte wird werden kann muss soll will sich es sie""",
    fr="""le la les un une mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs ce cet cette ces ne pas
    très plus est sont était a ont avait se me te""",
    es="""el la los las un una unos unas mi tu su sus nuestro este esta estos ese esa no muy más es son era fue ha
    han había se me te le lo""",
    it="""il lo la i gli le un uno una mio mia tuo tua suo sua questo questa quel quella non molto più è sono era ha
    hanno aveva si mi ti ci""",
    pt="""o os as um uma meu minha seu sua este esta esse essa não muito mais é são era foi tem tinha se me te
    lhe""",
)
"""Articles, possessives and auxiliaries: they belong to the word after them."""

TITLES = frozenset(
    ["mr", "mrs", "ms", "dr", "prof", "st", "gen", "capt", "lt", "sgt", "hr", "fr", "mme", "mlle", "sra"]
)
"""Titles: their full stop does not end a sentence, and they belong to the word after them."""

NAME_PARTICLES = frozenset(["of", "the", "de", "del", "della", "di", "da", "la", "le", "van", "von", "ibn", "al", "du"])
"""Words that may stand between two parts of a name."""
