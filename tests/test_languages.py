"""A language is taken as people and tools write it, and never guessed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

from builder.languages import language_table
from src.errors import InvalidInput
from src.request.languages import _TABLE, find_chinese_script, parse_language
from src.request.options import Options
from src.request.validation import parse_input

_ISO_639_3 = """
en=eng zh=zho de=deu es=spa ru=rus ko=kor fr=fra ja=jpn pt=por tr=tur pl=pol ca=cat nl=nld ar=ara sv=swe it=ita
id=ind hi=hin fi=fin vi=vie he=heb uk=ukr el=ell ms=msa cs=ces ro=ron da=dan hu=hun ta=tam no=nor th=tha ur=urd
hr=hrv bg=bul lt=lit la=lat mi=mri ml=mal cy=cym sk=slk te=tel fa=fas lv=lav bn=ben sr=srp az=aze sl=slv kn=kan
et=est mk=mkd br=bre eu=eus is=isl hy=hye ne=nep mn=mon bs=bos kk=kaz sq=sqi sw=swa gl=glg mr=mar pa=pan si=sin
km=khm sn=sna yo=yor so=som af=afr oc=oci ka=kat be=bel tg=tgk sd=snd gu=guj am=amh yi=yid lo=lao uz=uzb fo=fao
ht=hat ps=pus tk=tuk nn=nno mt=mlt sa=san lb=ltz my=mya bo=bod tl=tgl mg=mlg as=asm tt=tat haw=haw ln=lin ha=hau
ba=bak jw=jav su=sun yue=yue
"""

ISO_639_3 = dict(pair.split("=") for pair in _ISO_639_3.split())

NATIVE = {
    **{
        "en": "English",
        "zh": "中文",
        "de": "Deutsch",
        "es": "español",
        "ru": "русский",
        "ko": "한국어",
        "fr": "français",
    },
    **{"ja": "日本語", "pt": "português", "tr": "Türkçe", "pl": "polski", "ca": "català", "nl": "Nederlands"},
    **{"ar": "العربية", "sv": "svenska", "it": "italiano", "id": "Bahasa Indonesia", "hi": "हिन्दी", "fi": "suomi"},
    **{"vi": "Tiếng Việt", "he": "עברית", "uk": "українська", "el": "Ελληνικά", "ms": "Melayu", "cs": "čeština"},
    **{"ro": "română", "da": "dansk", "hu": "magyar", "ta": "தமிழ்", "no": "norsk", "th": "ไทย", "ur": "اردو"},
    **{"hr": "hrvatski", "bg": "български", "lt": "lietuvių", "la": "Latina", "mi": "Māori", "ml": "മലയാളം"},
    **{
        "cy": "Cymraeg",
        "sk": "slovenčina",
        "te": "తెలుగు",
        "fa": "فارسی",
        "lv": "latviešu",
        "bn": "বাংলা",
        "sr": "српски",
    },
    **{"az": "azərbaycan", "sl": "slovenščina", "kn": "ಕನ್ನಡ", "et": "eesti", "mk": "македонски", "br": "brezhoneg"},
    **{"eu": "euskara", "is": "íslenska", "hy": "հայերեն", "ne": "नेपाली", "mn": "монгол", "bs": "bosanski"},
    **{
        "kk": "қазақ тілі",
        "sq": "shqip",
        "sw": "Kiswahili",
        "gl": "galego",
        "mr": "मराठी",
        "pa": "ਪੰਜਾਬੀ",
        "si": "සිංහල",
    },
    **{"km": "ខ្មែរ", "sn": "chiShona", "yo": "Èdè Yorùbá", "so": "Soomaali", "af": "Afrikaans", "oc": "occitan"},
    **{"ka": "ქართული", "be": "беларуская", "tg": "тоҷикӣ", "sd": "سنڌي", "gu": "ગુજરાતી", "am": "አማርኛ", "yi": "ייִדיש"},
    **{"lo": "ລາວ", "uz": "o‘zbek", "fo": "føroyskt", "ht": "Kreyòl Ayisyen", "ps": "پښتو", "tk": "türkmen dili"},
    **{"nn": "norsk nynorsk", "mt": "Malti", "sa": "संस्कृत भाषा", "lb": "Lëtzebuergesch", "my": "မြန်မာ", "bo": "བོད་སྐད་"},
    **{"tl": "Tagalog", "mg": "Malagasy", "as": "অসমীয়া", "tt": "татар", "haw": "ʻŌlelo Hawaiʻi", "ln": "lingála"},
    **{"ha": "Hausa", "ba": "башҡорт", "jw": "Jawa", "su": "Basa Sunda", "yue": "粵語"},
}


def options(**given: object) -> Options:
    return parse_input({"audio": "https://example.com/a.mp3", "options": given}).options


@pytest.mark.parametrize("code", LANGUAGES)
def test_each_language_has_its_code_its_iso_code_and_its_names(code: str) -> None:
    english = [name for name, its_code in TO_LANGUAGE_CODE.items() if its_code == code]
    written = [code, code.upper(), ISO_639_3[code], *english, *map(str.title, english), NATIVE[code]]
    assert [parse_language(text) for text in written] == [code] * len(written)


WRITTEN: dict[str | None, list[str]] = {
    None: ["auto", "AUTO", "", " ", "detect", "auto-detect", "none", "None", "null", "und"],
    "en": [
        "en-US",
        "en_US",
        "en-us",
        "EN",
        " en ",
        "eng",
        "en-GB-oed",
        "en_US.UTF-8",
        "English (US)",
        "English, US",
        "ENGLISH",
        "British English",
        "English - United Kingdom",
    ],
    "pt": ["pt-BR", "pt_PT", "Brazilian Portuguese", "Portuguese (Brazil)", "Português (Brasil)", "portugues"],
    "de": ["deu", "ger", "de-AT", "de-CH-1901", "de_DE@euro", "Deutsch", "DEUTSCH", "German/Deutsch"],
    "fr": ["fre", "fra", "fr-CA", "francais", "Français (Canada)"],
    "es": ["es-419", "espanol", "ESPAÑOL", "castellano", "Castilian", "Latin American Spanish"],
    "zh": ["zh-CN", "zh-Hant-TW", "zh_TW", "cmn", "cmn-Hans", "chi", "Mandarin", "普通话", "中文（台灣）"],
    "yue": ["yue", "zh-yue", "yue-HK", "Cantonese (Traditional)", "广东话"],
    "no": ["nb", "nb-NO", "nob", "norsk bokmål", "Norwegian Bokmål", "no"],
    "nn": ["nn", "nn-NO", "nno"],
    "sr": ["sr-Latn", "sh"],
    "ar": ["arb", "ar-EG"],
    "fa": ["pes", "Farsi", "fa-AF"],
    "nl": ["nl-BE", "vlaams"],
    "jw": ["jv", "jv-ID"],
    "ht": ["haitian-creole", "Haitian_Creole"],
    "el": ["Ελληνικα", "Greek, Modern"],
    **{"he": ["iw"], "id": ["in"], "yi": ["ji"], "ro": ["mo"], "tl": ["fil"], "az": ["az-Cyrl"], "ms": ["zsm"]},
    **{"ru": ["Русский"], "cs": ["čestina"], "sl": ["Slovene"], "haw": ["olelo hawaii"]},
}


@pytest.mark.parametrize(("written", "code"), [(text, code) for code, texts in WRITTEN.items() for text in texts])
def test_tags_codes_and_names_of_every_kind_are_taken(written: str, code: str | None) -> None:
    assert options(language=written).language == code


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("germn", 'did you mean "german"?'),
        ("englisch", 'did you mean "english"?'),
        ("Deutch", 'did you mean "deutsch" or "dutch"?'),
        *((text, 'give a code such as "de"') for text in ("klingon", "xx", "jp", "autos", "nobody", "swis", "gsw")),
        *((text, 'give a code such as "de"') for text in ("mul", "nan", "en us and de", "de;", "de\x00", "x" * 60)),
    ],
)
def test_an_unknown_language_is_never_guessed(written: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match="not a language that Whisper knows") as caught:
        options(language=written)
    assert hint in str(caught.value)


@pytest.mark.parametrize("written", [code for code in LANGUAGES if len(code) == 2])
def test_no_code_is_suggested_for_a_word(written: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        options(language=written * 3)
    assert f'"{written}"' not in str(caught.value).replace('such as "de"', "")


@pytest.mark.parametrize(
    ("written", "script"),
    [
        *(
            (text, "simplified")
            for text in ("zh-CN", "zh_CN", "zh-Hans", "zh-SG", "zh-Hans-HK", "cmn-Hans", "yue-Hans")
        ),
        *(
            (text, "simplified")
            for text in ("Simplified Chinese", "Chinese (Simplified)", "Chinese Simplified", "简体中文")
        ),
        *((text, "traditional") for text in ("zh-TW", "zh-HK", "zh-MO", "zh-Hant", "zh-Hant-CN", "ZH-HANT-TW")),
        *((text, "traditional") for text in ("Traditional Chinese", "Chinese (Taiwan)", "中文（繁體）", "繁體中文")),
        *((text, None) for text in ("zh", "Chinese", "中文", "yue", "ja-Hant", "en-HK", "sr-Hant", "auto")),
    ],
)
def test_a_language_may_name_the_script_of_chinese(written: str, script: str | None) -> None:
    assert options(language=written).chinese_script == script
    assert options(language_candidates=["en", written if script else "zh"]).chinese_script == script


def test_an_explicit_script_of_chinese_wins() -> None:
    assert options(language="zh-CN", chinese_script="Traditional").chinese_script == "traditional"
    assert options(language="zh-CN", chinese_script="").chinese_script == "simplified"
    assert options(language_candidates=["zh-CN", "zh-TW"]).chinese_script is None


@pytest.mark.parametrize("written", [["de-DE", "Français", "ger"], "de-DE, Français"])
def test_candidates_are_taken_like_languages(written: object) -> None:
    assert options(language_candidates=written).language_candidates == ["de", "fr"]


def test_a_detected_language_goes_with_candidates() -> None:
    assert options(language="auto", language_candidates=["de", "fr"]).language is None


@given(st.text(max_size=60))
def test_any_text_is_a_language_or_refused(text: str) -> None:
    find_chinese_script(text)
    try:
        assert parse_language(text) in {None, *LANGUAGES}
    except ValueError as error:
        assert "not a language" in str(error)


@pytest.mark.slow
def test_the_table_is_that_of_its_sources() -> None:
    assert _TABLE.read_text(encoding="utf-8") == language_table(), "run builder/write_tables.py"
    assert set(json.loads(language_table())) == {*LANGUAGES, "zh-Hans", "zh-Hant"}
