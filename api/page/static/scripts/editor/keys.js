// The keys of the editor: one table, from which they work and from which the sheet of keys is shown.

import { browserStore } from "../storage.js";

/** Whether the keyboard has ⌘; browsers say "macOS" or "MacIntel". */
export const IS_MAC = /^mac|iPhone|iPad/i.test(navigator.userAgentData?.platform ?? navigator.platform);
const SINGLE_KEYS = "single-keys";

/**
 * Keys by command. `Mod` is ⌘ on a Mac and Ctrl elsewhere. `inFields`: also while a text is typed, for keys that mean
 * nothing there. `only`: handled where the focus is, listed here for the sheet alone.
 *
 * @type {{title: string, keys: {command: string, keys: string[], does: string, inFields?: boolean, only?: boolean}[]}[]}
 */
export const KEYS = [
  {
    title: "Play",
    keys: [
      { command: "toggle", keys: [" ", "K"], does: "Play or pause" },
      { command: "toggle", keys: ["F8"], does: "Play or pause, also while you type", inFields: true },
      { command: "back", keys: ["ArrowLeft", "J"], does: "Back 5 seconds" },
      { command: "back", keys: ["F7"], does: "Back 5 seconds, also while you type", inFields: true },
      { command: "ahead", keys: ["ArrowRight", "L"], does: "Ahead 5 seconds" },
      { command: "ahead", keys: ["F9"], does: "Ahead 5 seconds, also while you type", inFields: true },
      { command: "slower", keys: ["-"], does: "Slower" },
      { command: "faster", keys: ["+"], does: "Faster" },
      { command: "playLine", keys: ["P"], does: "Play the line" },
      { command: "loop", keys: ["R"], does: "Repeat the line" },
      { command: "showSpoken", keys: ["G"], does: "Go to the line that is playing" },
    ],
  },
  {
    title: "Lines",
    keys: [
      { command: "line", keys: ["ArrowUp", "ArrowDown"], does: "Previous or next line", only: true },
      { command: "line", keys: ["PageUp", "PageDown"], does: "A page of lines up or down", only: true },
      { command: "line", keys: ["Home", "End"], does: "First or last line", only: true },
      { command: "edit", keys: ["Enter", "F2"], does: "Edit the line", only: true },
      { command: "join", keys: ["M"], does: "Join with the next line" },
      { command: "speaker", keys: ["1–9"], does: "Speaker 1 to 9 says the line", only: true },
      { command: "remove", keys: ["Delete"], does: "Delete the line" },
    ],
  },
  {
    title: "While you edit a line",
    keys: [
      { command: "done", keys: ["Enter"], does: "Done", only: true },
      { command: "cancel", keys: ["Escape"], does: "Cancel", only: true },
      { command: "split", keys: ["Mod+Enter"], does: "Split the line at the cursor", only: true },
      { command: "joinPrevious", keys: ["Backspace"], does: "At the start: join with the line before", only: true },
      { command: "joinNext", keys: ["Delete"], does: "At the end: join with the next line", only: true },
    ],
  },
  {
    title: "Unsure words",
    keys: [
      { command: "review", keys: ["U"], does: "Start or stop the review" },
      { command: "word", keys: ["Tab", "Shift+Tab"], does: "Next or previous unsure word", only: true },
      { command: "word", keys: ["Enter"], does: "Edit the word", only: true },
      { command: "confirm", keys: ["Y"], does: "The word is right" },
    ],
  },
  {
    title: "Everywhere",
    keys: [
      { command: "undo", keys: ["Mod+Z"], does: "Undo" },
      { command: "redo", keys: ["Mod+Shift+Z", "Mod+Y"], does: "Redo" },
      { command: "find", keys: ["Mod+F"], does: "Find and replace", inFields: true },
      { command: "save", keys: ["Mod+S"], does: "Save now", inFields: true },
      { command: "help", keys: ["?"], does: "This list" },
    ],
  },
];

/** Whether keys without Ctrl, Alt or ⌘ do something; who dictates or has no steady hand can turn them off. */
export const singleKeys = {
  get on() {
    return browserStore.get(SINGLE_KEYS) !== false;
  },
  set on(on) {
    browserStore.set(SINGLE_KEYS, on);
  },
};

/**
 * Run the commands by their keys.
 *
 * @param {Object<string, () => boolean|void>} commands by name; one that returns false leaves the key to the browser.
 * @param {AbortSignal} signal ends it.
 */
export function listenForKeys(commands, signal) {
  const entries = KEYS.flatMap((group) => group.keys).filter((entry) => !entry.only);
  const listen = (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open], .menu:popover-open")) return;
    const pressed = keyOf(event);
    const entry = entries.find(({ keys, inFields }) => keys.includes(pressed) && (inFields || !takesText(event.target)));
    if (!entry || (isSingle(pressed) && !singleKeys.on) || takesKey(event.target, pressed)) return;
    if (commands[entry.command]?.() !== false) event.preventDefault();
  };
  document.addEventListener("keydown", listen, { signal });
}

/**
 * What was pressed, as the table writes it. A letter counts by what it writes; where the layout has no Latin letters,
 * by where it is.
 *
 * @param {KeyboardEvent} event
 * @returns {string} such as "Mod+Shift+Z", "K", "?" or "ArrowLeft".
 */
function keyOf(event) {
  const { key, code } = event;
  const letter = /^[a-z]$/i.test(key) ? key : /^\p{L}$/u.test(key) && /^Key[A-Z]$/.test(code) ? code.at(-1) : null;
  const name = letter?.toUpperCase() ?? key;
  const mod = IS_MAC ? event.metaKey : event.ctrlKey;
  const other = IS_MAC ? event.ctrlKey : event.metaKey;
  // Shift is part of how a sign is written, and AltGr comes as Ctrl and Alt.
  const isSign = letter === null && key.length === 1 && key !== " ";
  const parts = [mod && !(isSign && event.altKey) && "Mod", other && "Other", event.altKey && !isSign && "Alt", event.shiftKey && !isSign && "Shift", name];
  return parts.filter(Boolean).join("+");
}

/** Whether an element takes typed text. */
function takesText(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "range", "button", "submit"].includes(target.type);
  return target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

const isSingle = (pressed) => pressed.length === 1 && pressed !== " ";

/** Whether a control needs the key itself: space on a button, arrows on a slider. */
function takesKey(target, pressed) {
  if (!(target instanceof HTMLElement)) return false;
  if (pressed === " ") return target.closest("button, a, summary, input, [role=button], [role=checkbox]") !== null;
  if (pressed.startsWith("Arrow")) return target.closest("input, [role=slider], [role=radiogroup], [role=tablist], [role=menu]") !== null;
  return false;
}
