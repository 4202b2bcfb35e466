// The style of subtitles: how cues are laid out. It is this browser's, for each transcript.

import { browserStore } from "../storage.js";

const KEY = "subtitle-style";

// As `PRESETS` in transcript/formats/layout.py.
const BROADCAST = {
  max_line_width: 42, max_line_count: 2, min_cue_duration: 0.83, max_cue_duration: 7, min_cue_gap: 0.08, max_chars_per_second: 20,
};

const DEFAULT = { kind: "transcript", custom: BROADCAST, names: true, colors: false, stl_start: "", stl_frame_rate: 25 };

/** Frames a second that EBU STL may have. */
export const STL_FRAME_RATES = [25, 30];

/** The numbers of a custom style: their names, and the values that the server takes. */
export const NUMBERS = {
  max_line_width: { label: "Characters per line", min: 1, max: 1000, step: 1 },
  max_line_count: { label: "Lines", min: 1, max: 100, step: 1 },
  max_chars_per_second: { label: "Characters per second", min: 1, max: 1000, step: 0.5 },
  min_cue_duration: { label: "Shortest, in seconds", min: 0, max: 10, step: 0.01 },
  max_cue_duration: { label: "Longest, in seconds", min: 0.5, max: 600, step: 0.1 },
  min_cue_gap: { label: "Gap, in seconds", min: 0, max: 1, step: 0.01 },
};

/**
 * @typedef {{kind: "transcript"|"broadcast"|"custom", custom: Object<string, number|null>, names: boolean,
 *   colors: boolean, stl_start: string, stl_frame_rate: number}} SubtitleStyle `names`: whether speakers are named;
 *   `colors`: whether each then has a colour; `stl_…`: of EBU STL, the timecode of the recording's start, "" for 0.
 */

/**
 * The style of a transcript's subtitles: as it was last chosen for it, else as its job was asked for them, else as it
 * was last chosen for any.
 *
 * @param {{id: string, options: object}} record
 * @returns {SubtitleStyle}
 */
export function styleOf(record) {
  return read(`${KEY}:${record.id}`) ?? fromOptions(record.options ?? {}) ?? read(KEY) ?? DEFAULT;
}

/**
 * Keep the style of a transcript's subtitles.
 *
 * @param {{id: string}} record
 * @param {SubtitleStyle} style
 */
export function keepStyle(record, style) {
  for (const key of [`${KEY}:${record.id}`, KEY]) browserStore.set(key, style);
}

/**
 * The limits of a style, as the server names them.
 *
 * @param {SubtitleStyle} style
 * @returns {Object<string, number>}
 */
export function limitsOf(style) {
  if (style.kind === "broadcast") return BROADCAST;
  return style.kind === "custom" ? numbersOf(style.custom) : {};
}

/**
 * A style as the parameters of an address of cues, exports and captioned videos.
 *
 * @param {SubtitleStyle} style
 * @returns {Object<string, number|boolean>}
 */
export function layoutOf(style) {
  if (!style.names) return { ...limitsOf(style), names: false };
  return style.colors ? { ...limitsOf(style), colors: true } : limitsOf(style);
}

/**
 * What of a style concerns EBU STL alone, as the parameters of its address.
 *
 * @param {SubtitleStyle} style
 * @returns {Object<string, string|number>}
 */
export function stlOf({ stl_start: start, stl_frame_rate: rate }) {
  return { ...(start && { stl_start: start }), ...(rate !== DEFAULT.stl_frame_rate && { stl_frame_rate: rate }) };
}

/**
 * @param {string} start
 * @param {number} rate frames a second.
 * @returns {boolean} whether it is a timecode of a day, or empty.
 */
export function isTimecode(start, rate) {
  const match = /^(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d:(\d\d)$/.exec(start);
  return start === "" || (match !== null && Number(match[1]) < rate);
}

function fromOptions(options) {
  const style = { ...DEFAULT, colors: options.speaker_colors === true, ...readStl(options) };
  if (options.subtitle_preset === "broadcast") return { ...style, kind: "broadcast" };
  if (Object.keys(numbersOf(options)).length) return { ...style, kind: "custom", custom: numbersOf(options) };
  return style.colors || Object.keys(stlOf(style)).length ? style : null;
}

function readStl(saved) {
  const rate = STL_FRAME_RATES.includes(saved.stl_frame_rate) ? saved.stl_frame_rate : DEFAULT.stl_frame_rate;
  const start = typeof saved.stl_start === "string" && isTimecode(saved.stl_start, rate) ? saved.stl_start : "";
  return { stl_start: start, stl_frame_rate: rate };
}

function read(key) {
  const { kind, custom, names, colors, ...rest } = browserStore.get(key) ?? {};
  if (!["transcript", "broadcast", "custom"].includes(kind)) return null;
  return { kind, custom: numbersOf(custom), names: names !== false, colors: colors === true, ...readStl(rest) };
}

function numbersOf(numbers) {
  const names = Object.keys(NUMBERS).filter((name) => Number.isFinite(numbers?.[name]));
  return Object.fromEntries(names.map((name) => [name, numbers[name]]));
}
