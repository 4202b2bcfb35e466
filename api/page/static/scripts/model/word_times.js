// Words of a line that was typed over: what is unchanged keeps its times exactly, the rest shares the time it replaces.
//
// A word is `[text, start, end, probability]` in seconds, its text as Whisper writes it: with a space in front, or
// none where it is written against the word before it (Japanese, "-based"). Where others speak at the same time, their
// keys follow as a list.

/** @typedef {[string, number, number, number|null, string[]?]} Word */

const UNSPACED =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}\p{sc=Tibetan}ー々]/u;
const SEPARATORS = /[\p{Cc}\p{Zl}\p{Zp} ]+/gu;
const LETTERS = /[\p{L}\p{N}]/u;

/** A new word needs at least this much of a pause, else it shares the time of its neighbour. */
const SHORTEST_S = 0.1;

/** What the server takes of one line (`api/page/lines.py`). */
export const MOST_CHARACTERS = 20_000;
export const MOST_WORDS = 1000;
const MOST_WORD_CHARACTERS = 999; // and the space in front

/** Comparing words takes a table of this many cells at most (8 MB); of a longer text, all counts as changed. */
const MOST_CELLS = 2_000_000;

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/**
 * The text as it is kept: one line, single spaces, none around it.
 *
 * @param {string} typed
 * @returns {string}
 */
export function tidy(typed) {
  return typed.toWellFormed().replace(SEPARATORS, " ").trim();
}

/**
 * The text of words as people read it.
 *
 * @param {Word[]} words
 * @returns {string}
 */
export function textOf(words) {
  return tidy(words.map((word) => word[0]).join(""));
}

/**
 * Whether two characters may stand side by side without a space although they belong to different words.
 *
 * @param {string} text such as "天" or "word".
 * @returns {boolean}
 */
export function isUnspaced(text) {
  return UNSPACED.test(text);
}

/**
 * The words of a text that replaces a line's.
 *
 * Unchanged words keep their times exactly. Changed ones take the time of the words they stand for: one for one where
 * there are as many, else shared by length, with those who speak at the same time. New words take the pause where they stand; where it is too short, they
 * share the time of the word before them (at the start: after them). Deleted words leave a pause.
 *
 * @param {Word[]} words of the line as it was.
 * @param {string} typed
 * @param {{start: number, end: number, language?: string|null}} line its span in seconds; its language helps to find
 *   the words of text without spaces.
 * @returns {Word[]} in order and inside the line's span; their text is `tidy(typed)`.
 */
export function retime(words, typed, { start, end, language = null }) {
  const text = tidy(typed);
  const runs = withoutCrowding(runsOf(words, text, language), start, end);
  const timed = runs.flatMap((run, index) =>
    run.kept
      ? [[run.tokens[0], ...run.replaced[0].slice(1)]]
      : share(run.tokens, run.replaced, pauseAt(runs, index, start, end)),
  );
  if (timed.length && startsWithSpace(words, text)) timed[0][0] = " " + timed[0][0];
  return timed;
}

/**
 * The text in runs: each an unchanged word, or new tokens with the words they replace.
 *
 * @returns {{kept: boolean, tokens: string[], replaced: Word[]}[]}
 */
function runsOf(words, text, language) {
  const runs = [];
  let word = 0;
  let position = 0;
  for (const { index, at } of [...unchanged(words, text), { index: words.length, at: text.length }]) {
    const tokens = tokensOf(text.slice(position, at), language);
    const replaced = words.slice(word, index);
    if (tokens.length) runs.push({ kept: false, tokens, replaced });
    if (index === words.length) break;
    const bare = words[index][0].trim();
    const space = text[at - 1] === " " ? " " : "";
    runs.push({ kept: true, tokens: [space + bare], replaced: [words[index]] });
    word = index + 1;
    position = at + bare.length;
  }
  return runs;
}

/** New words that replace nothing, and have no pause to stand in, join their neighbour. */
function withoutCrowding(runs, start, end) {
  const roomy = [];
  for (const [index, run] of runs.entries()) {
    const pause = pauseAt(runs, index, start, end);
    const crowded = !run.kept && !run.replaced.length && pause.end - pause.start < SHORTEST_S * run.tokens.length;
    const before = roomy.at(-1);
    if (before?.joinsNext) {
      roomy.splice(-1, 1, { kept: false, tokens: [...before.tokens, ...run.tokens], replaced: run.replaced });
    } else if (crowded && before) {
      roomy.splice(-1, 1, { kept: false, tokens: [...before.tokens, ...run.tokens], replaced: before.replaced });
    } else {
      roomy.push({ ...run, joinsNext: crowded && runs.length > 1 });
    }
  }
  return roomy;
}

function pauseAt(runs, index, start, end) {
  const from = Math.max(start, runs[index - 1]?.replaced.at(-1)?.[2] ?? start);
  return { start: from, end: Math.max(from, Math.min(end, runs[index + 1]?.replaced[0]?.[1] ?? end)) };
}

/** Tokens with the time of the words they replace, or of a pause. */
function share(tokens, replaced, pause) {
  if (tokens.length === replaced.length) return tokens.map((token, index) => timed(token, ...replaced[index].slice(1, 3), replaced[index][4]));
  const start = replaced[0]?.[1] ?? pause.start;
  const end = Math.max(start, replaced.at(-1)?.[2] ?? pause.end);
  const lengths = tokens.map((token) => Math.max(1, [...graphemes.segment(token.trim())].length));
  const total = lengths.reduce((sum, length) => sum + length, 0);
  let passed = 0;
  const bounds = [start];
  for (const length of lengths) {
    passed += length;
    bounds.push(passed === total ? end : within(start, end, start + ((end - start) * passed) / total));
  }
  return tokens.map((token, index) => timed(token, bounds[index], bounds[index + 1], othersAt((bounds[index] + bounds[index + 1]) / 2, replaced)));
}

const timed = (token, start, end, others) => withOthers([token, start, end, null], others);

/** Who else speaks at a time, by the word that is said then. */
const othersAt = (time, words) => (words.findLast((word) => word[1] <= time) ?? words[0])?.[4];

/**
 * A word with others who speak at the same time.
 *
 * @param {Word} word
 * @param {string[]} [others] keys of speakers; none: it has no list.
 * @returns {Word}
 */
export const withOthers = (word, others) => (others?.length ? [...word.slice(0, 4), others] : word.slice(0, 4));
const within = (start, end, time) => Math.min(end, Math.max(start, Math.round(time * 1000) / 1000));

/**
 * The words that are in the text as they were: the set with the most letters, in order.
 *
 * @returns {{index: number, at: number}[]} index of the word, and where in the text it stands.
 */
function unchanged(words, text) {
  const bare = words.map((word) => word[0].trim());
  const width = text.length + 1;
  if (bare.length * width > MOST_CELLS) return [];
  const best = new Uint32Array((bare.length + 1) * width);
  const matches = (index, at) =>
    bare[index] !== "" && text.startsWith(bare[index], at) && isWhole(words, bare, index, text, at);
  for (let index = bare.length - 1; index >= 0; index--) {
    for (let at = text.length - 1; at >= 0; at--) {
      let most = Math.max(best[(index + 1) * width + at], best[index * width + at + 1]);
      if (matches(index, at)) {
        most = Math.max(most, bare[index].length + best[(index + 1) * width + at + bare[index].length]);
      }
      best[index * width + at] = most;
    }
  }
  const found = [];
  for (let index = 0, at = 0; index < bare.length && at < text.length; ) {
    const here = best[index * width + at];
    const length = bare[index].length;
    if (matches(index, at) && here === length + best[(index + 1) * width + at + length]) {
      found.push({ index, at });
      index += 1;
      at += length;
    } else if (here === best[index * width + at + 1]) at += 1;
    else index += 1;
  }
  return found;
}

/** Whether a word stands at this place of the text as a word, and not as a part of one. */
function isWhole(words, bare, index, text, at) {
  const end = at + bare[index].length;
  const before = text[at - 1];
  const startsWhole =
    before === undefined ||
    before === " " ||
    (isGlued(words, index) && (endsBefore(text, at, bare[index - 1]) || bothUnspaced(before, text[at])));
  const after = text[end];
  const endsWhole =
    after === undefined ||
    after === " " ||
    (isGlued(words, index + 1) && text.startsWith(bare[index + 1], end)) ||
    bothUnspaced(text[end - 1], after);
  return startsWhole && endsWhole;
}

/** Whether a word is written against the word before it. */
const isGlued = (words, index) => index < words.length && !words[index][0].startsWith(" ");
const endsBefore = (text, at, word) => Boolean(word) && text.slice(0, at).endsWith(word);
const bothUnspaced = (before, after) => isUnspaced(before) && isUnspaced(after);

/** The words of new text: split at spaces, and by a dictionary where a language has none; punctuation stays at its word. */
function tokensOf(text, language) {
  const runs = text.match(/ ?[^ ]+/g) ?? [];
  const tokens = runs.flatMap((run) => (isUnspaced(run) ? dictionaryWords(run, language) : [run]));
  return tokens.flatMap((token) => (token.length > MOST_WORD_CHARACTERS ? piecesOf(token) : [token]));
}

function piecesOf(token) {
  const pieces = [""];
  for (const character of token) {
    if (pieces.at(-1).length + character.length > MOST_WORD_CHARACTERS) pieces.push("");
    pieces[pieces.length - 1] += character;
  }
  return pieces;
}

function dictionaryWords(run, language) {
  const tokens = [];
  for (const { segment } of segmenterOf(language).segment(run)) {
    const last = tokens.at(-1);
    const opensOnly = last !== undefined && !LETTERS.test(last);
    if (last !== undefined && (opensOnly || !LETTERS.test(segment))) tokens[tokens.length - 1] += segment;
    else tokens.push(segment);
  }
  return tokens;
}

const segmenters = new Map();

function segmenterOf(language) {
  const locale = supported(language) ? language : "ja";
  if (!segmenters.has(locale)) segmenters.set(locale, new Intl.Segmenter(locale, { granularity: "word" }));
  return segmenters.get(locale);
}

function supported(language) {
  try {
    return Intl.Segmenter.supportedLocalesOf(language ?? []).length > 0;
  } catch {
    return false; // "haw", or a name that is no language tag
  }
}

/** The first word of a line is written as it was: Whisper puts a space in front of it where a language has spaces. */
function startsWithSpace(words, text) {
  return words.length ? words[0][0].startsWith(" ") : !isUnspaced(text.slice(0, 2));
}
