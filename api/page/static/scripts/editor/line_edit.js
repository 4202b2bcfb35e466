// Typing over a line, in its place.

import { element, icon, toast } from "../dom.js";
import { formatClock } from "../text/clock.js";
import { MOST_CHARACTERS } from "../model/word_times.js";

/** What was typed goes into the document after a pause this long, and is saved from there. */
const PAUSE_MS = 400;
const TOO_LONG = "That is too long for one line. Split it first.";

let edits = 0;

/**
 * Put a field in the place of a row's text.
 *
 * @param {import("./line_row.js").LineRow} row
 * @param {{start: number, end: number}|null} selection of characters; null: the cursor at the end.
 * @param {() => void} onEnd when the field is gone.
 * @returns {{finish: () => void}}
 */
export function editLine(row, selection, onEnd) {
  const { list, id } = row;
  const { document: transcript } = list;
  const group = `typing ${(edits += 1)}`;
  let timer = 0;
  let isOpen = true;

  const field = element("textarea", { class: "line-field", rows: "1", dir: "auto", maxlength: MOST_CHARACTERS, "aria-label": `Text at ${formatClock(row.line.start)}`, enterkeyhint: "done" });
  field.value = transcript.textOf(row.line);
  const tool = (label, name, run) => element("button", { type: "button", class: "quiet", onclick: run }, icon(name), label);
  const tools = element("div", { class: "edit-tools", role: "group", "aria-label": "Editing" },
    tool("Done", "check", () => finish({ focus: true })), tool("Cancel", "close", () => cancel()),
    tool("Split at cursor", "split", () => split()), tool("Join with next", "join", () => joinNext()));
  // A press on a tool must not take the cursor, and with it the phone's keyboard, away.
  tools.addEventListener("pointerdown", (event) => event.preventDefault());
  const box = element("div", { class: "edit-box" }, field, tools);

  const commit = () => {
    clearTimeout(timer);
    const typed = field.value;
    if (typed.trim() === "" || !transcript.get(id)) return true;
    const isKept = transcript.editText(id, typed, group);
    if (!isKept) toast(TOO_LONG);
    return isKept;
  };
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    clearTimeout(timer);
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
    clearTimeout(timer);
    transcript.cancel(group);
    close();
    list.focus(id);
  };
  const split = () => {
    if (!commit()) return;
    const index = wordIndexAt(row.line, field.selectionStart, field.value);
    close();
    const made = transcript.split(id, index);
    if (made) list.actions.edit(made, 0, "start");
    else list.focus(id);
  };
  const join = (first, second) => {
    if (!first || !second || !commit()) return;
    const length = transcript.textOf(first).length;
    close();
    if (transcript.joinWithNext(first.id)) list.actions.edit(first.id, null, length + 1);
    else toast(TOO_LONG);
  };
  const joinNext = () => join(row.line, transcript.next(id));

  const fit = () => {
    field.style.setProperty("height", "auto");
    field.style.setProperty("height", `${field.scrollHeight + 2}px`);
    list.remeasure(id);
  };
  field.addEventListener("input", () => {
    fit();
    clearTimeout(timer);
    timer = setTimeout(commit, PAUSE_MS);
  });
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    const isAtStart = field.selectionStart === 0 && field.selectionEnd === 0;
    const isAtEnd = field.selectionStart === field.value.length;
    const hasMod = event.ctrlKey || event.metaKey;
    if (event.key === "Enter" && hasMod) split();
    else if (event.key === "Enter" || event.key === "F2") finish({ focus: true });
    else if (event.key === "Escape") cancel();
    else if (event.key === "Backspace" && isAtStart && transcript.previous(id)) join(transcript.previous(id), row.line);
    else if (event.key === "Delete" && isAtEnd && transcript.next(id)) joinNext();
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
export function wordIndexAt(line, caret, text) {
  const lead = text.length - text.trimStart().length;
  let position = lead - (line.words[0]?.[0].match(/^ */)[0].length ?? 0);
  for (const [index, [word]] of line.words.entries()) {
    const middle = position + (word.length + word.match(/^ */)[0].length) / 2;
    if (caret <= middle) return index;
    position += word.length;
  }
  return line.words.length;
}
