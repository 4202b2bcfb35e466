// Finding in the lines, and what each match is replaced by.

/**
 * @typedef {{text: string, replacement: string, matchCase: boolean, wholeWords: boolean, isExpression: boolean}} Query
 * @typedef {{id: string, start: number, end: number, replacement: string}} Match characters of the line's text.
 */

export const MOST_MATCHES = 10_000;

/**
 * All matches.
 *
 * @param {{id: string, text: string}[]} lines
 * @param {Query} query
 * @returns {Match[]} in order; at most `MOST_MATCHES`.
 * @throws {SyntaxError} the regular expression is none.
 */
export function findMatches(lines, query) {
  if (query.text === "") return [];
  const pattern = patternOf(query);
  const matches = [];
  for (const { id, text } of lines) {
    for (const found of text.matchAll(pattern)) {
      if (found[0] === "") continue;
      const replacement = query.isExpression ? expand(query.replacement, found) : query.replacement;
      matches.push({ id, start: found.index, end: found.index + found[0].length, replacement });
      if (matches.length === MOST_MATCHES) return matches;
    }
  }
  return matches;
}

/**
 * A line's text with its matches replaced.
 *
 * @param {string} text
 * @param {Match[]} matches of this line, in order.
 * @returns {string}
 */
export function replaced(text, matches) {
  let result = "";
  let position = 0;
  for (const { start, end, replacement } of matches) {
    result += text.slice(position, start) + replacement;
    position = end;
  }
  return result + text.slice(position);
}

function patternOf({ text, matchCase, wholeWords, isExpression }) {
  const source = isExpression ? text : text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  const whole = wholeWords ? `(?<![\\p{L}\\p{N}\\p{M}_])(?:${source})(?![\\p{L}\\p{N}\\p{M}_])` : source;
  return new RegExp(whole, matchCase ? "gu" : "giu");
}

/** `$1`, `$<name>`, `$&` and `$$` of a replacement. */
function expand(replacement, found) {
  return replacement.replace(/\$(?:(\$)|(&)|(\d{1,2})|<([^>]*)>)/g, (all, dollar, whole, number, name) => {
    if (dollar) return "$";
    if (whole) return found[0];
    if (name !== undefined) return found.groups?.[name] ?? "";
    return Number(number) < found.length && Number(number) > 0 ? (found[Number(number)] ?? "") : all;
  });
}
