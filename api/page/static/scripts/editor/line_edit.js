// Typing over a line, in its place.

import { element, icon, toast } from "../dom.js";
import { formatClock } from "../text/clock.js";
import { MOST_CHARACTERS } from "../model/word_times.js";

const TOO_LONG = "That is too long for one line. Split it first.";
export const TOO_LONG_TO_JOIN = "Together the two are too long for one line.";

let edits = 0;

/**
 * Put a field in the place of a row's text.
 *
 * @param {import("./line_row.js").LineRow} row
 * @param {{start: number, end: number}|null} selection of characters; null: the cursor at the end.
 * @param {() => void} onEnd when the field is gone.
 * @returns {{finish: () => void}} which keeps what was typed.
 */
export function editLine(row, selection, onEnd) {
  const { list, id } = row;
  const { document: transcript } = list;
  const group = `typing ${(edits += 1)}`;
  let isOpen = true;

  const field = element("textarea", { class: "line-field", rows: "1", dir: "auto", maxlength: MOST_CHARACTERS, "aria-label": `Text at ${formatClock(row.line.start)}`, enterkeyhint: "done" });
  field.value = transcript.textOf(row.line);
  const tool = (label, name, run, does) => element("button", { type: "button", class: "quiet", "aria-label": does, title: does, onclick: run }, icon(name), label);
  const tools = element("div", { class: "edit-tools", role: "group", "aria-label": "Editing" },
    tool("Done", "check", () => finish({ focus: true })), tool("Cancel", "close", () => cancel()),
    tool("Split", "split", () => split(), "Split at the cursor"),
    tool("Join", "join", () => { if (transcript.next(id)) join(id); }, "Join with the next line"));
  // A press on a tool must not take the cursor, and with it the phone's keyboard, away.
  tools.addEventListener("pointerdown", (event) => event.preventDefault());
  const box = element("div", { class: "edit-box" }, field, tools);

  /** What is typed goes into the document at once, and is saved from there. */
  const commit = () => {
    const typed = field.value;
    if (typed.trim() === "" || !transcript.get(id)) return true;
    const isKept = transcript.editText(id, typed, group);
    if (!isKept) toast(TOO_LONG);
    return isKept;
  };
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    box.replaceWith(row.text);
    onEnd();
  };
  const finish = ({ focus = false } = {}) => {
    if (!isOpen) return;
    commit();
    const isEmptied = field.value.trim() === "" && transcript.get(id);
    close();
    if (isEmptied) list.actions.remove(id);
    else if (focus) list.focus(id);
  };
  const cancel = () => {
    transcript.cancel(group);
    close();
    list.focus(id);
  };
  const split = () => {
    if (!commit()) return;
    const index = wordIndexAt(row.line.words, field.selectionStart);
    close();
    const made = transcript.split(id, index);
    if (made) list.actions.editAt(made, 0);
    else list.focus(id);
  };
  /** Join a line with the next one, of which this line is one, and type on where they meet. */
  const join = (firstId) => {
    if (!commit()) return;
    const length = transcript.textOf(transcript.get(firstId)).length;
    close();
    if (transcript.joinWithNext(firstId)) list.actions.editAt(firstId, length);
    else toast(TOO_LONG_TO_JOIN);
  };

  const fit = () => {
    field.style.setProperty("height", "auto");
    field.style.setProperty("height", `${field.scrollHeight + 2}px`);
    list.remeasure(id);
  };
  field.addEventListener("input", (event) => {
    if (!event.isComposing) commit();
    fit();
  });
  field.addEventListener("compositionend", () => commit());
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    const isAtStart = field.selectionStart === 0 && field.selectionEnd === 0;
    const isAtEnd = field.selectionStart === field.value.length;
    const hasMod = event.ctrlKey || event.metaKey;
    if (event.key === "Enter" && hasMod) split();
    else if (event.key === "Enter" || event.key === "F2") finish({ focus: true });
    else if (event.key === "Escape") cancel();
    else if (event.key === "Backspace" && isAtStart && transcript.previous(id)) join(transcript.previous(id).id);
    else if (event.key === "Delete" && isAtEnd && transcript.next(id)) join(id);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  box.addEventListener("focusout", (event) => { if (isOpen && !box.contains(event.relatedTarget)) finish(); });

  row.text.replaceWith(box);
  fit();
  field.focus({ preventScroll: true });
  field.setSelectionRange(selection?.start ?? field.value.length, selection?.end ?? field.value.length);
  return { finish };
}

/** The word in front of which a line is split, for a cursor in its text: inside a word, the nearer end of it. */
function wordIndexAt(words, caret) {
  const spans = wordSpans(words);
  const index = spans.findIndex(({ start, end }) => caret <= (start + end) / 2);
  return index < 0 ? words.length : index;
}

/**
 * Where words stand in their line's text.
 *
 * @param {import("../model/word_times.js").Word[]} words
 * @returns {{start: number, end: number}[]} characters of each word, without the space before it.
 */
export function wordSpans(words) {
  let position = -(words[0]?.[0].match(/^ */)[0].length ?? 0);
  return words.map(([text]) => {
    const start = position + text.match(/^ */)[0].length;
    position += text.length;
    return { start, end: position };
  });
}
