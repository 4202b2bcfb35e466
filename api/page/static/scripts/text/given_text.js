// The text of a recording as a job takes it, from a file or the clipboard: the client's given_text.py does the same.

const TIME = String.raw`(?:\d{1,3}:)?\d{1,2}:\d{2}[.,]\d{1,3}`;
const CUE_TIMES = new RegExp(String.raw`^\s*${TIME}\s*-->\s*${TIME}(?:\s.*)?$`);
const MARKUP = /<\/?[A-Za-z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}/g;
const LRC_TIME = /^\s*(?:\[\d{1,3}:\d{2}(?:[.:]\d{1,3})?\]\s*)+/;
const LRC_TAG = /^\s*\[[a-z#]+:.*\]\s*$/;
const ENTITIES = [["&lt;", "<"], ["&gt;", ">"], ["&nbsp;", " "], ["&lrm;", "\u200e"], ["&rlm;", "\u200f"], ["&amp;", "&"]];

/**
 * @param {string} content of a text, of SubRip, WebVTT or LRC.
 * @returns {string} the text without numbers, times and markup, one line for each cue; other text as it is.
 */
export function stripTimes(content) {
  const lines = content.split(/\r\n|\r|\n/);
  if (lines.some((line) => CUE_TIMES.test(line))) return cueTexts(lines).join("\n");
  if (lines.some((line) => LRC_TIME.test(line))) return lines.filter((line) => !LRC_TAG.test(line)).map((line) => line.replace(LRC_TIME, "")).join("\n");
  return content;
}

/** The text of each cue: the lines from its times to the next blank line. */
function cueTexts(lines) {
  const cues = [];
  let cue = null;
  for (const line of [...lines, ""]) {
    if (CUE_TIMES.test(line)) cue = [];
    else if (!line.trim()) {
      if (cue?.length) cues.push(cue.join(" "));
      cue = null;
    } else if (cue && plain(line)) cue.push(plain(line));
  }
  return cues;
}

const plain = (line) => ENTITIES.reduce((text, [entity, character]) => text.replaceAll(entity, character), line.replace(MARKUP, "")).trim();

/**
 * @param {File} file of text, in UTF-8 or UTF-16.
 * @returns {Promise<string>} its text, without the times of subtitles.
 * @throws {TypeError} it is in another encoding, or no text.
 */
export async function readText(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const encoding = { "255,254": "utf-16le", "254,255": "utf-16be" }[bytes.slice(0, 2).join()] ?? "utf-8";
  return stripTimes(new TextDecoder(encoding, { fatal: true }).decode(bytes));
}
