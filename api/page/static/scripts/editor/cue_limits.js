// How a cue keeps to the limits of its subtitles: the same measures as the server's layout.

const GRAPHEMES = new Intl.Segmenter("en", { granularity: "grapheme" });

// Full-width by Unicode's EastAsianWidth (W and F): two columns on the screen.
const FULL_WIDTH =
  /[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\u4dbf\u4e00-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6b\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1aff0}-\u{1b2fb}\u{1d300}-\u{1d376}\u{20000}-\u{3fffd}]/u;
const EMOJI = /^(?:\p{Emoji_Presentation}|\p{Regional_Indicator}{2}|\p{Emoji}\ufe0f)/u;
// Accents, and signs that only steer the writing; a soft hyphen and the Arabic number signs are seen.
const NO_WIDTH = /(?![\xad\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2])[\p{M}\p{Cf}\p{Cc}\u1160-\u11ff\ud7b0-\ud7fb]/u;

/**
 * The columns that a text takes on the screen: two for a full-width character (Chinese, Japanese, Korean, emoji),
 * none for an accent.
 *
 * @param {string} text
 * @returns {number}
 */
export function displayWidth(text) {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of GRAPHEMES.segment(text)) width += EMOJI.test(segment) ? 2 : columnsOf(segment);
  return width;
}

function columnsOf(grapheme) {
  let width = 0;
  for (const character of grapheme) width += NO_WIDTH.test(character) ? 0 : FULL_WIDTH.test(character) ? 2 : 1;
  return width;
}

/**
 * Break a text into lines, for a preview while someone types; the server's breaks, which look for good places, replace
 * these once the text is saved.
 *
 * @param {string} text
 * @param {number|null} maxWidth columns of a line; null for one line.
 * @returns {string[]}
 */
export function wrap(text, maxWidth) {
  const words = text.trim().split(/\s+/u).filter(Boolean);
  if (!maxWidth) return [words.join(" ")];
  const lines = [];
  for (const word of words.flatMap((whole) => cut(whole, maxWidth))) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && displayWidth(longer) <= maxWidth) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.length ? lines : [""];
}

function cut(word, maxWidth) {
  if (displayWidth(word) <= maxWidth) return [word];
  const parts = [""];
  for (const { segment } of GRAPHEMES.segment(word)) {
    if (parts.at(-1) && displayWidth(parts.at(-1) + segment) > maxWidth) parts.push("");
    parts[parts.length - 1] += segment;
  }
  return parts;
}

/**
 * The columns that each line of a cue may take. Room for `voice: ` in the first line is taken from all of them, but no
 * more than half: as `transcript/formats/cues.py` does it.
 *
 * @param {{voice?: string}} cue
 * @param {{max_line_width?: number|null}} limits
 * @returns {number|null} null: there is no limit.
 */
export function roomOf({ voice }, { max_line_width: width }) {
  if (!width || !voice) return width || null;
  return Math.max(1, Math.floor(width / 2), width - displayWidth(`${voice}: `));
}

/**
 * Measure a cue against the limits.
 *
 * @param {{start: number, end: number, lines: string[], voice?: string}} cue times in seconds.
 * @param {number|null} nextStart when the next cue starts, in seconds; null after the last.
 * @param {object} limits a layout as the server takes it; a limit that is missing or null is none.
 * @returns {{widths: Measure[], lines: Measure, speed: Measure, duration: Measure, gap: Measure|null}}
 *   Measure is `{value, limit, isOver}`; `limit` is the one that the value is nearest to breaking.
 */
export function measureCue(cue, nextStart, limits) {
  const widths = cue.lines.map(displayWidth);
  const maxWidth = roomOf(cue, limits);
  const duration = cue.end - cue.start;
  const columns = widths.reduce((sum, width) => sum + width, 0) + Math.max(0, widths.length - 1);
  return {
    widths: widths.map((width) => atMost(width, maxWidth)),
    lines: atMost(cue.lines.length, limits.max_line_count),
    speed: atMost(duration > 0 ? columns / duration : Infinity, limits.max_chars_per_second, 0.05),
    duration: between(duration, limits.min_cue_duration, limits.max_cue_duration),
    gap: nextStart === null ? null : atLeast(nextStart - cue.start < duration ? 0 : nextStart - cue.end, limits.min_cue_gap),
  };
}

/**
 * Whether any limit of a measured cue is broken.
 *
 * @param {ReturnType<typeof measureCue>} measures
 * @returns {boolean}
 */
export function isOverAny({ widths, lines, speed, duration, gap }) {
  return [...widths, lines, speed, duration, ...(gap ? [gap] : [])].some(({ isOver }) => isOver);
}

// Times are whole milliseconds on the server: half of one is no fault.
const HALF_MS = 0.0005;

function atMost(value, limit, slack = HALF_MS) {
  return { value, limit: limit ?? null, isOver: Boolean(limit) && value > limit + slack };
}

function atLeast(value, limit) {
  return { value, limit: limit ?? null, isOver: Boolean(limit) && value < limit - HALF_MS };
}

function between(value, least, most) {
  const short = atLeast(value, least);
  return short.isOver ? short : atMost(value, most);
}
