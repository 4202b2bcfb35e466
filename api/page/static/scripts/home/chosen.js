// The chosen recordings, and whether the files and addresses are tracks of one conversation.

import { element, icon, iconButton } from "../dom.js";
import { formatSize } from "../text/clock.js";
import { fileNameOf, namesOfTracks, parseOffset, problemOfNames } from "../text/track_names.js";

const MOST_TRACKS = 16; // the worker's
const MOST_CHARACTERS = 60; // of a speaker's name

/**
 * @typedef {{file: File, recording?: {id: string, release: () => void}}} Chosen `recording`: of the microphone.
 */

/**
 * @param {{onChange: () => void, onDrop: (one: Chosen) => void}} told `onDrop`: one was removed by its button.
 * @returns {{body: HTMLElement, all: () => Chosen[], count: () => number, add: (some: Chosen[]) => void, clear: () => void,
 *   setAddresses: (urls: string[]) => void, tracks: () => import("./intake.js").GivenTrack[]|null, problem: () => string}}
 *   `count`: of transcripts; `tracks`: null unless the files and addresses are one conversation; `problem`: what is wrong
 *   with the names of its speakers, or with the times.
 */
export function chosenRecordings({ onChange, onDrop }) {
  let chosen = []; // with `name` and `offset`, the fields of a track
  let addresses = []; // likewise, with `url`
  const list = element("ul", { class: "chosen", "aria-label": "Chosen recordings" });
  const check = element("input", { id: "one-conversation", type: "checkbox", "aria-describedby": "one-conversation-hint", onchange: draw });
  const question = element("div", { class: "field" },
    element("label", { class: "check" }, check, "These are one conversation, a track for each speaker"),
    element("p", { class: "field-hint", id: "one-conversation-hint" }, "They become one transcript. Tracks that begin at different times are aligned by the sound that they share, unless you give the seconds after the first one’s start."));

  const tracks = () => [...chosen.filter(({ recording }) => !recording), ...addresses];
  const isConversation = () => check.checked && !question.hidden;

  function drawList() {
    const some = tracks();
    question.hidden = some.length < 2 || some.length > MOST_TRACKS;
    for (const [number, name] of namesOfTracks(some.map(({ title }) => title)).entries()) {
      if (!some[number].isNamed) some[number].name.value = name;
    }
    const shown = isConversation() ? [...chosen, ...addresses] : chosen;
    list.replaceChildren(...shown.map((one) => element("li", {},
      icon(one.url ? "link" : one.recording ? "microphone" : "file"),
      element("span", { class: "clip", title: one.url ?? one.title }, one.title),
      one.file && element("span", { class: "muted small" }, formatSize(one.file.size)),
      one.file && iconButton(`Remove ${one.title}`, "close", () => drop(one)),
      isConversation() && !one.recording && element("div", { class: "track" }, one.name, one.offset))));
    list.hidden = !shown.length;
  }

  function draw() {
    drawList();
    onChange();
  }

  function add(some) {
    const isThere = ({ name, size, lastModified }) => chosen.some(({ file }) => file.name === name && file.size === size && file.lastModified === lastModified);
    for (const one of some) if (one.recording || !isThere(one.file)) chosen.push(withFields({ ...one, title: one.file.name }, onChange));
    draw();
  }

  function setAddresses(urls) {
    if (urls.join("\n") === addresses.map(({ url }) => url).join("\n")) return;
    addresses = [...new Set(urls)].map((url) => addresses.find((one) => one.url === url) ?? withFields({ url, title: fileNameOf(url) }, onChange));
    draw();
  }

  function drop(one) {
    chosen = chosen.filter((other) => other !== one);
    draw();
    onDrop(one);
  }

  const names = () => tracks().map(({ name }) => name.value.trim().replace(/\s+/g, " ").normalize("NFC"));

  drawList();
  return {
    body: element("div", { class: "stack" }, list, question),
    all: () => chosen,
    count: () => chosen.length + addresses.length - (isConversation() ? tracks().length - 1 : 0),
    add,
    setAddresses,
    clear: () => { chosen = []; addresses = []; check.checked = false; draw(); },
    tracks: () => (isConversation() ? tracks().map(({ file, url, offset }, number) => ({ file, url, name: names()[number], offset: parseOffset(offset.value) })) : null),
    problem: () => (isConversation() ? problemOfNames(names()) || problemOfOffsets(tracks(), names()) : ""),
  };
}

function problemOfOffsets(tracks, names) {
  const wrong = tracks.findIndex(({ offset }) => parseOffset(offset.value) === undefined);
  return wrong < 0 ? "" : `The start of “${names[wrong]}” should be in seconds, such as 2.5, and at most 12 hours.`;
}

function withFields(one, onChange) {
  const name = element("input", { type: "text", maxlength: MOST_CHARACTERS, autocomplete: "off", "aria-label": `Speaker of ${one.title}` });
  const offset = element("input", { type: "text", inputmode: "decimal", autocomplete: "off", placeholder: "Starts at, s", "aria-label": `Start of ${one.title}, in seconds`, oninput: onChange });
  const made = { ...one, name, offset, isNamed: false };
  name.addEventListener("input", () => { made.isNamed = true; onChange(); });
  return made;
}
