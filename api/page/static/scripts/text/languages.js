// The languages that Whisper knows: code, English name, and the name that its speakers use.

const TABLE = `
af|Afrikaans|Afrikaans
am|Amharic|አማርኛ
ar|Arabic|العربية
as|Assamese|অসমীয়া
az|Azerbaijani|azərbaycan dili
ba|Bashkir|башҡорт теле
be|Belarusian|беларуская
bg|Bulgarian|български
bn|Bengali|বাংলা
bo|Tibetan|བོད་སྐད་
br|Breton|brezhoneg
bs|Bosnian|bosanski
ca|Catalan|català
cs|Czech|čeština
cy|Welsh|Cymraeg
da|Danish|dansk
de|German|Deutsch
el|Greek|Ελληνικά
en|English|English
es|Spanish|español
et|Estonian|eesti
eu|Basque|euskara
fa|Persian|فارسی
fi|Finnish|suomi
fo|Faroese|føroyskt
fr|French|français
gl|Galician|galego
gu|Gujarati|ગુજરાતી
ha|Hausa|Hausa
haw|Hawaiian|ʻŌlelo Hawaiʻi
he|Hebrew|עברית
hi|Hindi|हिन्दी
hr|Croatian|hrvatski
ht|Haitian Creole|kreyòl ayisyen
hu|Hungarian|magyar
hy|Armenian|հայերեն
id|Indonesian|Bahasa Indonesia
is|Icelandic|íslenska
it|Italian|italiano
ja|Japanese|日本語
jw|Javanese|Basa Jawa
ka|Georgian|ქართული
kk|Kazakh|қазақ тілі
km|Khmer|ខ្មែរ
kn|Kannada|ಕನ್ನಡ
ko|Korean|한국어
la|Latin|Latina
lb|Luxembourgish|Lëtzebuergesch
ln|Lingala|lingála
lo|Lao|ລາວ
lt|Lithuanian|lietuvių
lv|Latvian|latviešu
mg|Malagasy|Malagasy
mi|Māori|te reo Māori
mk|Macedonian|македонски
ml|Malayalam|മലയാളം
mn|Mongolian|монгол
mr|Marathi|मराठी
ms|Malay|Bahasa Melayu
mt|Maltese|Malti
my|Burmese|မြန်မာ
ne|Nepali|नेपाली
nl|Dutch|Nederlands
nn|Norwegian Nynorsk|nynorsk
no|Norwegian|norsk
oc|Occitan|occitan
pa|Punjabi|ਪੰਜਾਬੀ
pl|Polish|polski
ps|Pashto|پښتو
pt|Portuguese|português
ro|Romanian|română
ru|Russian|русский
sa|Sanskrit|संस्कृतम्
sd|Sindhi|سنڌي
si|Sinhala|සිංහල
sk|Slovak|slovenčina
sl|Slovenian|slovenščina
sn|Shona|chiShona
so|Somali|Soomaali
sq|Albanian|shqip
sr|Serbian|српски
su|Sundanese|Basa Sunda
sv|Swedish|svenska
sw|Swahili|Kiswahili
ta|Tamil|தமிழ்
te|Telugu|తెలుగు
tg|Tajik|тоҷикӣ
th|Thai|ไทย
tk|Turkmen|türkmen dili
tl|Tagalog|Tagalog
tr|Turkish|Türkçe
tt|Tatar|татар
uk|Ukrainian|українська
ur|Urdu|اردو
uz|Uzbek|oʻzbek
vi|Vietnamese|Tiếng Việt
yi|Yiddish|ייִדיש
yo|Yoruba|Yorùbá
yue|Cantonese|粵語
zh|Chinese|中文
`;

/** @typedef {{code: string, english: string, native: string}} Language */

/** @type {Language[]} by English name. */
export const LANGUAGES = TABLE.trim().split("\n").map((row) => {
  const [code, english, native] = row.split("|");
  return { code, english, native };
}).sort((one, other) => one.english.localeCompare(other.english, "en"));

const BY_CODE = new Map(LANGUAGES.map((language) => [language.code, language]));

/**
 * @param {string|null} code
 * @returns {string} the English name; the code itself if it is none of Whisper's; "" for null.
 */
export const languageName = (code) => BY_CODE.get(code)?.english ?? code ?? "";

/**
 * @param {Language} language
 * @returns {string} "German (Deutsch)".
 */
export const describeLanguage = ({ english, native }) => (english === native ? english : `${english} (${native})`);

/**
 * Languages whose code or one of whose names contains a text, without regard to case and accents; those that begin
 * with it come first.
 *
 * @param {string} text
 * @returns {Language[]}
 */
export function findLanguages(text) {
  const wanted = simplify(text);
  const rank = ({ code, english, native }) => {
    if (code === wanted) return 0;
    const names = [simplify(english), simplify(native)];
    if (names.some((name) => name.startsWith(wanted))) return 1;
    return names.some((name) => name.includes(wanted)) ? 2 : 3;
  };
  return LANGUAGES.filter((language) => rank(language) < 3).sort((one, other) => rank(one) - rank(other));
}

const simplify = (text) => text.trim().normalize("NFD").replace(/\p{Mn}/gu, "").toLowerCase();
