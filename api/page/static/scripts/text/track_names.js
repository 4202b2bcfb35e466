// Names of the speakers of tracks, from the names of their files.

const MOST_CHARACTERS = 60;
const IS_NAME = /^[\p{L}\p{N}_][\p{L}\p{M}\p{N}_ .'\-\u200c\u200d]*$/u; // as the server takes them
const IS_LABEL = /^(?:SPEAKER|CHANNEL)_\d+/;

/**
 * Names for tracks: what is different in the names of their files, without numbers.
 *
 * @param {string[]} files such as "2026-05-01 talk_ada.wav" and "2026-05-01 talk_ben.wav".
 * @returns {string[]} such as "ada" and "ben".
 */
export function namesOfTracks(files) {
  const words = files.map((name) => name.replace(/\.[^.]{1,5}$/, "").normalize("NFC").split(/[^\p{L}\p{M}\p{N}']+/u).filter(Boolean));
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

function problemOfName(name) {
  if (!name) return "Give each track the name of its speaker.";
  const isRight = name.length <= MOST_CHARACTERS && IS_NAME.test(name) && !IS_LABEL.test(name);
  return isRight ? "" : `“${name.slice(0, MOST_CHARACTERS)}” cannot be a speaker’s name. Use letters, digits, spaces and . ' -`;
}
