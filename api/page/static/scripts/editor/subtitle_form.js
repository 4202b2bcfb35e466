// The choice of a subtitle style, and the numbers of one's own.

import { element, icon } from "../dom.js";
import { NUMBERS, STL_FRAME_RATES, isTimecode } from "./subtitle_style.js";

const KINDS = { transcript: "One for each line", broadcast: "Broadcast", custom: "Custom" };
const HINTS = {
  transcript: "Each line of the transcript is one subtitle.",
  broadcast: "2 lines of 42 characters, 0.83 to 7 s, at most 20 characters per second.",
  custom: "An empty field sets no limit.",
};

/**
 * Make the form.
 *
 * @param {import("./subtitle_style.js").SubtitleStyle} style at first.
 * @param {boolean} hasSpeakers whether there are names to show.
 * @param {(style: import("./subtitle_style.js").SubtitleStyle) => void} onChange
 * @returns {HTMLElement}
 */
export function styleForm(style, hasSpeakers, onChange) {
  const hint = element("p", { class: "field-hint" });
  const numbers = element("div", { class: "style-numbers" });
  const choice = element("select", { onchange: () => change({ kind: choice.value }) },
    Object.entries(KINDS).map(([kind, label]) => element("option", { value: kind, selected: kind === style.kind }, label)));
  const colors = element("input", { type: "checkbox", onchange: () => change({ colors: colors.checked }) });
  const show = () => {
    hint.textContent = HINTS[style.kind];
    colors.disabled = !style.names;
    numbers.hidden = style.kind !== "custom";
  };
  const change = (changes) => {
    style = { ...style, ...changes };
    show();
    onChange(style);
  };
  const fields = Object.entries(NUMBERS).map(([name, { label, min, max, step }]) => {
    const input = element("input", { type: "number", inputmode: "decimal", min, max, step, name, oninput: () => type(name, input) });
    return { name, input, field: element("label", { class: "field" }, element("span", { class: "field-label" }, label), input) };
  });
  const type = (name, input) => {
    const isRight = input.value === "" || input.checkValidity();
    input.setAttribute("aria-invalid", String(!isRight));
    if (!isRight) return;
    change({ custom: { ...style.custom, [name]: input.value === "" ? null : Number(input.value) } });
  };
  for (const { name, input } of fields) input.value = style.custom[name] ?? "";
  numbers.append(...fields.map(({ field }) => field));
  const names = element("input", { type: "checkbox", onchange: () => change({ names: names.checked }) });
  names.checked = style.names;
  colors.checked = style.colors;
  const start = element("input", { type: "text", id: "stl-start", placeholder: "00:00:00:00", maxlength: 11, autocomplete: "off", "aria-describedby": "stl-start-hint", value: style.stl_start, oninput: typeStart });
  const rate = element("select", { "aria-label": "Frames per second of .stl", onchange: typeStart },
    STL_FRAME_RATES.map((number) => element("option", { value: number, selected: number === style.stl_frame_rate }, `${number} frames/s`)));
  const startError = element("p", { class: "field-error", role: "alert" });
  function typeStart() {
    const [typed, frames] = [start.value.trim(), Number(rate.value)];
    const isRight = isTimecode(typed, frames);
    start.setAttribute("aria-invalid", String(!isRight));
    startError.textContent = isRight ? "" : `Enter hours, minutes, seconds and frames, such as 10:00:00:00, up to 23:59:59:${frames - 1}.`;
    if (isRight) change({ stl_start: typed, stl_frame_rate: frames });
  }
  show();
  return element("details", { class: "style-form", open: matchMedia("(min-width: 901px)").matches },
    element("summary", {}, icon("chevron", "turns"), "Subtitle style"),
    element("div", { class: "stack" },
      element("label", { class: "field" }, element("span", { class: "field-label" }, "Layout"), choice),
      hint, numbers,
      hasSpeakers && element("label", { class: "check" }, names, "Show who is speaking"),
      hasSpeakers && element("label", { class: "check" }, colors, "Colour speakers in .srt and .ass"),
      element("div", { class: "field" },
        element("label", { class: "field-label", for: "stl-start" }, "Start of the recording in .stl"),
        element("div", { class: "stl-start" }, start, rate), startError,
        element("p", { class: "field-hint", id: "stl-start-hint" }, "Timecode of the programme, for broadcasters: hours, minutes, seconds, frames."))));
}
