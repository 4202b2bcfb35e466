// Which part of which lines a cue shows, and what becomes of the lines when its text is edited.

/**
 * The part of a line's text that a cue shows: from one character of it to before another.
 *
 * @typedef {{id: string, from: number, to: number}} CuePart
 */

/**
 * Find the parts of the lines that cues show. A layout breaks texts anew, and changes only the spaces in them.
 *
 * @param {{lines: string[], line_ids: string[]}[]} cues all cues of a transcript, in order.
 * @param {(id: string) => string} textOf text of a line.
 * @returns {CuePart[][]} the parts of each cue, in order.
 */
export function partsOfCues(cues, textOf) {
  const shown = new Map(); // id of a line: the characters of it that earlier cues show
  return cues.map(({ lines, line_ids: ids }) => {
    let left = lettersOf(lines.join("\n")).length;
    return ids.flatMap((id) => {
      const places = lettersOf(textOf(id));
      const first = shown.get(id) ?? 0;
      const count = Math.min(left, places.length - first);
      left -= count;
      shown.set(id, first + count);
      return count > 0 ? [{ id, from: places[first], to: places[first + count - 1] + 1 }] : [];
    });
  });
}

/**
 * Carry an edit of a cue's text over to its lines: they keep everything that is the same before and after.
 *
 * @param {CuePart[]} parts of the cue.
 * @param {(id: string) => string} textOf text of a line.
 * @param {string} before the cue's text, its lines joined by line breaks.
 * @param {string} after the text as it was edited.
 * @returns {Map<string, string>|null} id and new text of each line that changes; null if the lines no longer say what
 *   the cue said.
 */
export function editLines(parts, textOf, before, after) {
  const letters = lettersOf(before);
  const places = parts.flatMap(({ id, from, to }) =>
    lettersOf(textOf(id).slice(from, to)).map((place) => ({ id, at: from + place })));
  const isSame = letters.length === places.length
    && letters.every((letter, number) => before[letter] === textOf(places[number].id)[places[number].at]);
  if (!isSame || !places.length) return null;

  // The lines change from after the last letter that stays before the change to the first that stays after it.
  const { from, to, text } = differenceOf(before, after);
  const [first, next] = [from, to].map((at) => letters.filter((letter) => letter < at).length);
  const start = first > 0 ? { ...places[first - 1], at: places[first - 1].at + 1 } : places[0];
  const end = next < places.length ? places[next] : { ...places.at(-1), at: places.at(-1).at + 1 };
  // Spaces between those letters and the change stay. A cue's line break stands for the space in its line, if there is
  // one, or for the end of a line: then the change belongs to the side of it on which it was made.
  const hasSpaceBefore = first > 0 && from > letters[first - 1] + 1;
  const hasSpaceAfter = next < letters.length && to < letters[next];
  const spaceAt = (number) => {
    const [left, right] = [places[number - 1], places[number]];
    return left && right && left.id === right.id ? textOf(left.id).slice(left.at + 1, right.at) : null;
  };
  const head = hasSpaceBefore ? spaceAt(first) : "";
  const tail = hasSpaceAfter ? spaceAt(next) : "";
  const isAfterEnd = head === null;
  const isBeforeEnd = tail === null && !isAfterEnd;
  return replace(
    parts, textOf, isAfterEnd ? places[first] : start, isBeforeEnd ? { ...places[next - 1], at: places[next - 1].at + 1 } : end,
    (head ?? "") + text + (tail ?? ""));
}

function replace(parts, textOf, start, end, text) {
  const ids = parts.map(({ id }) => id);
  const touched = parts.slice(ids.indexOf(start.id), ids.indexOf(end.id) + 1);
  const changed = touched.map(({ id, from, to }) => {
    const line = textOf(id);
    const head = id === start.id ? line.slice(0, start.at) + text : line.slice(0, from);
    const tail = id === end.id ? line.slice(end.at) : line.slice(to);
    return [id, (head + tail).replace(/\s+/gu, " ").trim()];
  });
  return new Map(changed.filter(([id, line]) => line !== textOf(id)));
}

function differenceOf(before, after) {
  const shortest = Math.min(before.length, after.length);
  let from = 0;
  while (from < shortest && before[from] === after[from]) from++;
  let same = 0;
  while (same < shortest - from && before.at(-1 - same) === after.at(-1 - same)) same++;
  return { from, to: before.length - same, text: after.slice(from, after.length - same) };
}

// As `OPENING_MARKS` and `CLOSING_MARK` in transcript/formats/cues.py: they are the layout's, not the line's.
const MARKS = "\u200f\u202b\u202c";

// Places of the characters that are neither spaces nor marks of direction.
function lettersOf(text) {
  const places = [];
  for (let at = 0; at < text.length; at++) if (!isSpace(text[at]) && !MARKS.includes(text[at])) places.push(at);
  return places;
}

function isSpace(character) {
  return /\s/u.test(character);
}
