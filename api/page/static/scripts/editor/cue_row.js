// A cue in the list of subtitles: its times, its text, which can be edited, and how it keeps to the limits.

import { element, icon } from "../dom.js";
import { formatClock } from "../text/clock.js";
import { formatCount } from "../text/counts.js";
import { isOverAny, measureCue, roomOf, wrap } from "./cue_limits.js";

const LONG_GAP = 1; // in seconds: nobody asks how long a pause is

/**
 * Make the row of a cue.
 *
 * @param {import("./subtitle_stage.js").Cue} cue
 * @param {{nextStart: number|null, limits: object, onPlay: () => void, onEdit: () => void}} around `nextStart` in
 *   seconds; `limits` as the server names them.
 * @returns {HTMLElement}
 */
export function cueRow(cue, { nextStart, limits, onPlay, onEdit }) {
  const measures = measureCue(cue, nextStart, limits);
  const time = formatClock(cue.start);
  const text = cue.lines.join("\n");
  return element("div", { class: `cue${isOverAny(measures) ? " cue-over" : ""}` },
    element("button", { type: "button", class: "quiet cue-time", "aria-label": `Play from ${time}`, onclick: onPlay }, time),
    element("div", { class: "cue-body" },
      cue.voice && element("span", { class: "cue-voice" }, cue.voice),
      element("button", { type: "button", class: "quiet cue-text", dir: "auto", "aria-label": `Edit: ${text}`, onclick: onEdit }, text),
      measureList(measures)));
}

/**
 * Turn a row into a field with the cue's text. Enter and leaving it keep the text, Esc does not.
 *
 * @param {HTMLElement} row
 * @param {import("./subtitle_stage.js").Cue} cue
 * @param {{nextStart: number|null, limits: object, onType: (cue: object) => void, onDone: (text: string|null) => void}}
 *   around `onType` gets the cue as it would be; `onDone` the new text, or null to leave it as it was.
 */
export function editCue(row, cue, { nextStart, limits, onType, onDone }) {
  const before = cue.lines.join("\n");
  const field = element("textarea", {
    class: "cue-field", dir: "auto", rows: cue.lines.length,
    "aria-label": `Text at ${formatClock(cue.start)}`,
  });
  const measured = element("div", {});
  const show = () => {
    const typed = { ...cue, lines: wrap(field.value, roomOf(cue, limits)) };
    const measures = measureCue(typed, nextStart, limits);
    row.classList.toggle("cue-over", isOverAny(measures));
    measured.replaceChildren(measureList(measures));
    onType(typed);
  };
  let isDone = false;
  const end = (text) => {
    if (isDone) return;
    isDone = true;
    onDone(text);
  };
  field.value = before;
  field.addEventListener("input", show);
  field.addEventListener("blur", () => end(field.value));
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") end(null);
    else if (event.key === "Enter" && !event.shiftKey) end(field.value);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  row.querySelector(".cue-text").replaceWith(field);
  row.querySelector(".cue-measures").replaceWith(measured);
  show();
  field.focus();
}

function measureList({ widths, lines, speed, duration, gap }) {
  const perLine = widths.map(({ value }) => value).join(" + ");
  const widest = widths.find(({ isOver }) => isOver) ?? widths[0];
  return element("ul", { class: "cue-measures" },
    measure(`${perLine} character${perLine === "1" ? "" : "s"}`, widest, String),
    measure(formatCount(lines.value, "line"), lines, String),
    measure(`${number(speed.value)} characters per second`, speed, number),
    measure(`${number(duration.value)} s`, duration, (limit) => `${number(limit)} s`),
    gap && (gap.isOver || gap.value < LONG_GAP) && measure(`${number(gap.value)} s gap`, gap, (limit) => `${number(limit)} s`));
}

function measure(text, { isOver, value, limit }, format) {
  if (!isOver) return element("li", {}, text);
  const bound = value > limit ? "at most" : "at least";
  return element("li", { class: "over" }, icon("alert"), `${text}, ${bound} ${format(limit)}`);
}

function number(value) {
  if (!Number.isFinite(value)) return "∞";
  return String(value < 1 ? Math.round(100 * value) / 100 : Math.round(10 * value) / 10);
}
