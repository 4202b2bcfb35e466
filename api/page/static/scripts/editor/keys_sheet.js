// The sheet of keys, as this platform names them.

import { element, openDialog } from "../dom.js";
import { IS_MAC, singleKeys } from "./keys.js";

const NAMES = {
  ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", PageUp: "Page up", PageDown: "Page down",
  " ": "Space", ...(IS_MAC ? { Mod: "⌘", Ctrl: "⌃", Alt: "⌥", Shift: "⇧", Enter: "Return", Backspace: "Delete" } : { Mod: "Ctrl" }),
};

/**
 * The keys of a shortcut as this platform names them.
 *
 * @param {string} keys joined by "+", such as "Mod+Shift+Z"; Mod is ⌘ on a Mac and Ctrl elsewhere.
 * @returns {string[]}
 */
export function keyNames(keys) {
  const parts = keys === "+" ? ["+"] : keys.split(/\+(?=.)/);
  return parts.map((key) => NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key));
}

/**
 * Show the sheet of keys.
 *
 * @param {{title: string, keys: {keys: string|string[], does: string}[]}[]} groups of shortcuts; several keys of one
 *   entry do the same.
 * @returns {Promise<string|null>} resolves when it is closed.
 */
export function openKeysSheet(groups) {
  const sections = groups.map(({ title, keys }) =>
    element("section", { class: "keys-group" },
      element("h3", {}, title),
      element("dl", { class: "keys-list" }, keys.map((entry) => [
        element("div", {}, element("dt", {}, entry.does), element("dd", {}, [entry.keys].flat().map(combination))),
      ]))));
  const single = element("input", { type: "checkbox", onchange: () => { singleKeys.on = single.checked; } });
  single.checked = singleKeys.on;
  return openDialog("Keyboard shortcuts", [
    element("div", { class: "keys-sheet" }, sections),
    element("label", { class: "check" }, single, "Shortcuts of a single letter or sign"),
  ], [], { wide: true });
}

function combination(keys, at) {
  return [
    at > 0 && element("span", { class: "keys-or" }, "or"),
    element("span", { class: "keys-combination" }, keyNames(keys).map((name) => element("kbd", {}, name))),
  ];
}
