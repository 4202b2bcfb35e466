// The transcript as text, for the clipboard and for paper.

import { formatClock } from "../text/clock.js";

/**
 * The transcript's turns: neighbouring lines of one speaker. Without speakers, each line is a turn of its own.
 *
 * @param {import("../model/document.js").Document} transcript
 * @returns {{start: number, speaker: string|null, text: string}[]} start in seconds.
 */
export function turnsOf(transcript) {
  const turns = [];
  for (const line of transcript.lines) {
    const text = transcript.textOf(line);
    if (!text) continue;
    const last = turns.at(-1);
    if (last && line.speaker !== null && last.speaker === line.speaker) last.text = joinTexts(last.text, line, text);
    else turns.push({ start: line.start, speaker: line.speaker, text });
  }
  return turns;
}

// Words carry the space before them, so a line that begins without one (Chinese, Japanese) follows directly.
function joinTexts(before, line, text) {
  const isSpaced = /^\s/u.test(line.words[0]?.[0] ?? " ");
  return before + (isSpaced ? " " : "") + text;
}

/**
 * The transcript as plain text.
 *
 * @param {import("../model/document.js").Document} transcript
 * @param {{times?: boolean, speakers?: boolean}} parts what stands before the text; with speakers there is a paragraph
 *   for each turn, else a line for each line.
 * @returns {string}
 */
export function plainText(transcript, { times = false, speakers = false } = {}) {
  if (!speakers) {
    const lines = transcript.lines.map((line) => [line.start, transcript.textOf(line)]).filter(([, text]) => text);
    return lines.map(([start, text]) => (times ? `${formatClock(start)}  ${text}` : text)).join("\n");
  }
  const turns = turnsOf(transcript).map(({ start, speaker, text }) => {
    const name = speaker === null ? "" : `${transcript.nameOf(speaker)}: `;
    return `${times ? `${formatClock(start)}  ` : ""}${name}${text}`;
  });
  return turns.join("\n\n");
}
