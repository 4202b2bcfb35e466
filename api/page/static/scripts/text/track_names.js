// Names of the speakers of tracks, from the names of their files, and the times at which tracks begin.

const MOST_CHARACTERS = 60;
const MOST_SECONDS = 12 * 3600; // the server's
// As the server takes them (`transcript/speaker_names.py`).
const IS_NAME = /^['‘’]?[\p{L}\p{N}_][\p{L}\p{M}\p{N}_ .'‘’·‧・\-‐‑\u05be\u05f3\u05f4\u200c\u200d]*(?<![\u200c\u200d])$/u;
const IS_LABEL = /^(?:SPEAKER|CHANNEL)_\p{Decimal_Number}+(?:_SPEAKER_\p{Decimal_Number}+)?$/u;

/**
 * Names for tracks: what is different in the names of their files, without numbers.
 *
 * @param {string[]} files such as "2026-05-01 talk_ada.wav" and "2026-05-01 talk_ben.wav".
 * @returns {string[]} such as "ada" and "ben".
 */
export function namesOfTracks(files) {
  const words = files.map((name) => name.replace(/\.[^.]{1,5}$/, "").normalize("NFC").split(/[^\p{L}\p{M}\p{N}'’]+/u).filter(Boolean));
  const shortest = Math.min(...words.map(({ length }) => length));
  const isShared = (at) => words.length > 1 && words.every((some) => some.at(at) === words[0].at(at));
  let first = 0;
  while (first < shortest - 1 && isShared(first)) first += 1;
  let last = 0;
  while (last < shortest - 1 - first && isShared(-1 - last)) last += 1;
  return words.map((some, number) => {
    const own = some.slice(first, some.length - last);
    const spelled = own.filter((word) => !/^\p{N}+$/u.test(word));
    const name = (spelled.length ? spelled : own).join(" ").replace(/^[^\p{L}\p{N}]+/u, "").slice(0, MOST_CHARACTERS).trim();
    return name && !problemOfName(name) ? name : `Speaker ${number + 1}`;
  });
}

/**
 * @param {string[]} names of the speakers of all tracks.
 * @returns {string} what is wrong with them; empty if nothing is.
 */
export function problemOfNames(names) {
  const wrong = names.find(problemOfName);
  if (wrong !== undefined) return problemOfName(wrong);
  const twice = names.find((name, number) => names.indexOf(name) !== number);
  return twice === undefined ? "" : `“${twice}” is the name of two tracks. Give each its own.`;
}

/**
 * @param {string} text seconds after the earliest track's start, such as "2.5" or "2,5"; empty if they are not known.
 * @returns {number|null|undefined} null: not known; undefined: the text is wrong.
 */
export function parseOffset(text) {
  if (!text.trim()) return null;
  const seconds = /^\d+(?:[.,]\d*)?$/.test(text.trim()) ? Number(text.trim().replace(",", ".")) : NaN;
  return seconds <= MOST_SECONDS ? seconds : undefined;
}

/**
 * @param {string} url may be wrong still.
 * @returns {string} the last part of its path, as a file is named.
 */
export function fileNameOf(url) {
  try {
    const { hostname, pathname } = new URL(url);
    return decodeURIComponent(pathname.split("/").filter(Boolean).at(-1) ?? "") || hostname;
  } catch {
    return url;
  }
}

function problemOfName(name) {
  if (!name) return "Give each track the name of its speaker.";
  const isRight = name.length <= MOST_CHARACTERS && IS_NAME.test(name) && !IS_LABEL.test(name);
  return isRight ? "" : `“${name.slice(0, MOST_CHARACTERS)}” cannot be a speaker’s name. Use letters, digits, spaces and . ' ’ · -`;
}
