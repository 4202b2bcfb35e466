// The panel of speakers: their names, how much each says, and merging two that are one.

import { announce, element, icon, iconButton, menu } from "../dom.js";
import { MOST_NAME_CHARACTERS } from "../model/document.js";
import { formatCount } from "../text/counts.js";

/**
 * @param {HTMLElement} host
 * @param {{document: import("../model/document.js").Document}} parts
 * @returns {{unmount: () => void, focus: () => void}}
 */
export function mountSpeakers(host, { document: transcript }) {
  const ended = new AbortController();
  const list = element("ul", { class: "speaker-list" });
  const hint = element("p", { class: "muted small" });
  const add = element("button", { type: "button", onclick: () => {
    const key = transcript.addSpeaker();
    list.querySelector(`[data-speaker="${CSS.escape(key)}"]`)?.focus();
  } }, icon("plus"), "Add speaker");
  host.append(element("div", { class: "stack" }, hint, list, element("div", {}, add)));

  const rename = (key, value) => transcript.renameSpeaker(key, value);

  function mergeItems(key) {
    const others = [...transcript.speakers.keys()].filter((other) => other !== key);
    return others.map((other) => ({
      label: `Same person as ${transcript.nameOf(other)}`,
      run() {
        const said = `${transcript.nameOf(key)} is now ${transcript.nameOf(other)}`;
        transcript.mergeSpeakers(key, other);
        announce(said);
      },
    }));
  }

  function row(key, number, lineCount) {
    const standard = `Speaker ${number}`;
    const input = element("input", {
      type: "text", value: transcript.speakers.get(key), placeholder: standard, maxlength: MOST_NAME_CHARACTERS, autocomplete: "off",
      "aria-label": `Name of ${standard}`, "data-speaker": key, dir: "auto", onchange: ({ target }) => rename(key, target.value),
      onkeydown: (event) => { if (event.key === "Enter" && !event.isComposing) event.currentTarget.blur(); },
    });
    const more = iconButton(`Merge ${standard}`, "join", undefined, { disabled: transcript.speakers.size < 2 });
    return element("li", { class: "speaker-row" },
      element("span", { class: "speaker-dot", "data-colour": transcript.colourOf(key), "aria-hidden": "true" }),
      input, element("span", { class: "muted small speaker-count" }, formatCount(lineCount, "line")),
      menu(more, () => mergeItems(key)));
  }

  function draw() {
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.speaker : undefined;
    const counts = new Map();
    for (const { speaker } of transcript.lines) counts.set(speaker, (counts.get(speaker) ?? 0) + 1);
    const keys = [...transcript.speakers.keys()];
    list.replaceChildren(...keys.map((key, index) => row(key, index + 1, counts.get(key) ?? 0)));
    hint.textContent = keys.length ? "Type a name. It changes everywhere." : "There are no speakers yet. Add some, then choose one for each line.";
    if (focused !== undefined) list.querySelector(`[data-speaker="${CSS.escape(focused)}"]`)?.focus();
  }

  transcript.addEventListener("change", draw, { signal: ended.signal });
  draw();
  return { unmount: () => ended.abort(), focus: () => (list.querySelector("input") ?? add).focus() };
}
