// The chosen recordings, and whether the files are tracks of one conversation.

import { element, icon, iconButton } from "../dom.js";
import { formatSize } from "../text/clock.js";
import { namesOfTracks, problemOfNames } from "../text/track_names.js";

const MOST_TRACKS = 16; // the worker's
const MOST_CHARACTERS = 60; // of a speaker's name

/**
 * @typedef {{file: File, recording?: {id: string, release: () => void}}} Chosen `recording`: of the microphone.
 */

/**
 * @param {{onChange: () => void, onDrop: (one: Chosen) => void}} told `onDrop`: one was removed by its button.
 * @returns {{body: HTMLElement, all: () => Chosen[], count: () => number, add: (some: Chosen[]) => void, clear: () => void,
 *   tracks: () => Array<{file: File, name: string}>|null, problem: () => string}} `count`: of transcripts; `tracks`: null
 *   unless the files are one conversation; `problem`: what is wrong with the names of its speakers.
 */
export function chosenRecordings({ onChange, onDrop }) {
  let chosen = []; // with `name`, the field for the speaker's name
  const list = element("ul", { class: "chosen", "aria-label": "Chosen recordings" });
  const check = element("input", { id: "one-conversation", type: "checkbox", "aria-describedby": "one-conversation-hint", onchange: draw });
  const question = element("div", { class: "field" },
    element("label", { class: "check" }, check, "These files are one conversation, a track for each speaker"),
    element("p", { class: "field-hint", id: "one-conversation-hint" }, "They become one transcript. Tracks that begin at different times are aligned by the sound that they share."));

  const files = () => chosen.filter(({ recording }) => !recording);
  const isConversation = () => check.checked && !question.hidden;

  function drawList() {
    const some = files();
    question.hidden = some.length < 2 || some.length > MOST_TRACKS;
    for (const [number, name] of namesOfTracks(some.map(({ file }) => file.name)).entries()) {
      if (!some[number].isNamed) some[number].name.value = name;
    }
    list.replaceChildren(...chosen.map((one) => element("li", { class: isConversation() && !one.recording && "track" },
      icon(one.recording ? "microphone" : "file"),
      element("span", { class: "clip", title: one.file.name }, one.file.name),
      isConversation() && !one.recording && one.name,
      element("span", { class: "muted small" }, formatSize(one.file.size)),
      iconButton(`Remove ${one.file.name}`, "close", () => drop(one)))));
    list.hidden = !chosen.length;
  }

  function draw() {
    drawList();
    onChange();
  }

  function add(some) {
    const isThere = ({ name, size, lastModified }) => chosen.some(({ file }) => file.name === name && file.size === size && file.lastModified === lastModified);
    for (const one of some) if (one.recording || !isThere(one.file)) chosen.push(withName(one, onChange));
    draw();
  }

  function drop(one) {
    chosen = chosen.filter((other) => other !== one);
    draw();
    onDrop(one);
  }

  const names = () => files().map(({ name }) => name.value.trim().replace(/\s+/g, " ").normalize("NFC"));

  drawList();
  return {
    body: element("div", { class: "stack" }, list, question),
    all: () => chosen,
    count: () => chosen.length - (isConversation() ? files().length - 1 : 0),
    add,
    clear: () => { chosen = []; check.checked = false; draw(); },
    tracks: () => (isConversation() ? names().map((name, number) => ({ file: files()[number].file, name })) : null),
    problem: () => (isConversation() ? problemOfNames(names()) : ""),
  };
}

function withName(one, onChange) {
  const name = element("input", { type: "text", maxlength: MOST_CHARACTERS, autocomplete: "off", "aria-label": `Speaker of ${one.file.name}` });
  const made = { ...one, name, isNamed: false };
  name.addEventListener("input", () => { made.isNamed = true; onChange(); });
  return made;
}
