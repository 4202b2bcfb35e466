// The form: where the recordings come from, what is asked for, and the button that starts.

import { announce, element, icon, toast } from "../dom.js";
import { formatCount } from "../text/counts.js";
import { chosenRecordings } from "./chosen.js";
import { recordingsOf } from "./drop.js";
import { intake } from "./intake.js";
import { microphonePanel } from "./microphone.js";
import { optionFields } from "./option_fields.js";
import { presetRow } from "./presets.js";

const MOST_ADDRESSES = 100;

/**
 * @param {{models: string[], schemas: Object<string, Object>, live: boolean}} known options.
 * @param {{onStart: (hasFiles: boolean) => void, onRelease: () => void}} told `onStart`: jobs were started; `onRelease`: a recording of
 *   the microphone was put aside.
 * @returns {{body: HTMLElement, add: (chosen: {files: File[], skipped: number}) => void, chooseFiles: () => void,
 *   readOptions: () => Object<string, any>|null, unmount: () => Promise<void>}} `readOptions`: null if a field is wrong.
 */
export function newTranscript(known, { onStart, onRelease }) {
  const fields = optionFields(known);
  const addresses = element("textarea", { id: "addresses", rows: 3, placeholder: "https://example.com/episode-12.mp3", spellcheck: "false", autocapitalize: "off", oninput: draw, "aria-describedby": "addresses-hint" });
  const error = element("p", { class: "field-error", role: "alert" });
  const button = element("button", { class: "primary start", type: "submit" });
  const chosen = chosenRecordings({ onChange: draw, onDrop: putAside });
  const microphone = microphonePanel(addRecording, known);
  const panels = tabs([
    ["Files", "upload", filePanel(add)],
    ["Microphone", "microphone", microphone.body],
    ["Address", "link", addressPanel(addresses)],
  ]);
  const body = element("form", { class: "stack", novalidate: true, onsubmit: (event) => { event.preventDefault(); start(); } },
    panels, chosen.body, presetRow(fields), fields.body, error, button);

  function add({ files, skipped }) {
    // A file that a reload interrupted goes on at once, with the options it had.
    chosen.add(files.filter((file) => !intake.resume(file)).map((file) => ({ file })));
    if (skipped) toast(`Skipped ${formatCount(skipped, "file that is", "files that are")} not audio or video.`);
    else if (!files.length) toast("There is no recording in that folder.");
    announce(describeChosen());
  }

  function addRecording({ file, id, release }) {
    chosen.add([{ file, recording: { id, release } }]);
    announce(describeChosen());
    button.focus();
  }

  function putAside({ recording }) {
    if (!recording) return;
    recording.release(); // it is listed as not transcribed, from where it can be deleted
    onRelease();
  }

  function draw() {
    chosen.setAddresses(readAddresses(addresses.value));
    fields.useFor(chosen.tracks() !== null);
    const count = chosen.count();
    button.replaceChildren(count > 1 ? `Transcribe ${formatCount(count, "recording")}` : "Transcribe");
    error.textContent = "";
  }

  const describeChosen = () => `${formatCount(chosen.all().length, "recording")} chosen`;

  function readOptions(recordings = 1) {
    const read = fields.read();
    error.textContent = read.error && "Something in the options is not right yet.";
    if (read.options.align && recordings > 1) error.textContent = "A text belongs to one recording: choose only one, or empty “What is said”.";
    if (error.textContent) return null;
    fields.clearOnce();
    return read.options;
  }

  function start() {
    const urls = readAddresses(addresses.value);
    const all = chosen.all();
    const problem = checkSources(all, urls) || chosen.problem();
    if (problem) {
      error.textContent = problem;
      return;
    }
    const options = readOptions(all.length + urls.length);
    if (!options) return;
    const tracks = chosen.tracks();
    if (tracks) {
      intake.addConversation(tracks, options);
    } else {
      intake.addFiles(all.filter(({ recording }) => !recording).map(({ file }) => file), options);
      intake.addAddresses(urls, options);
    }
    for (const { file, recording } of all) if (recording) intake.addFiles([file], options, recording);
    addresses.value = "";
    chosen.clear();
    onStart(all.length > 0);
  }

  draw();
  return {
    body,
    add,
    chooseFiles: () => body.querySelector("#choose-files").click(),
    readOptions: () => readOptions(),
    unmount() {
      for (const { recording } of chosen.all()) recording?.release();
      return microphone.unmount();
    },
  };
}

function checkSources(chosen, urls) {
  if (!chosen.length && !urls.length) return "Choose a recording first.";
  if (urls.length > MOST_ADDRESSES) return `Enter at most ${MOST_ADDRESSES} addresses at once.`;
  const wrong = urls.find((url) => !isWebAddress(url));
  return wrong ? `“${wrong.slice(0, 80)}” is not a web address. It should start with https:// or http://.` : "";
}

const readAddresses = (text) => [...new Set(text.split(/\s+/).filter(Boolean))];
const isWebAddress = (text) => /^https?:\/\//i.test(text) && URL.canParse(text);

function filePanel(add) {
  const files = element("input", { type: "file", multiple: true, hidden: true, id: "choose-files", "aria-label": "Choose files" });
  const folder = element("input", { type: "file", webkitdirectory: true, hidden: true, id: "choose-folder", "aria-label": "Choose a folder" });
  files.addEventListener("change", () => { add({ files: [...files.files], skipped: 0 }); files.value = ""; });
  folder.addEventListener("change", () => { add(recordingsOf(folder.files)); folder.value = ""; });
  return element("div", { class: "drop-zone" }, icon("upload"),
    element("p", {}, element("strong", { class: "by-mouse" }, "Drop recordings or folders here"), element("strong", { class: "by-touch" }, "Choose recordings")),
    element("div", { class: "row" },
      element("button", { type: "button", onclick: () => files.click() }, "Choose files"),
      element("button", { type: "button", class: "by-mouse", onclick: () => folder.click() }, icon("folder"), "Choose a folder")),
    element("p", { class: "muted small" }, "Audio or video in any common format"), files, folder);
}

const addressPanel = (addresses) =>
  element("div", { class: "field" }, element("label", { class: "field-label", for: "addresses" }, "Addresses of recordings"), addresses,
    element("p", { class: "field-hint", id: "addresses-hint" }, "One per line. Use direct links to audio or video files."));

function tabs(entries) {
  const buttons = entries.map(([label, name], index) => element("button", {
    type: "button", role: "tab", id: `tab-${index}`, "aria-controls": `panel-${index}`, onclick: () => choose(index),
  }, icon(name), label));
  const panels = entries.map(([, , content], index) => element("div", { role: "tabpanel", id: `panel-${index}`, "aria-labelledby": `tab-${index}` }, content));
  function choose(chosen) {
    for (const [index, button] of buttons.entries()) {
      button.setAttribute("aria-selected", String(index === chosen));
      button.tabIndex = index === chosen ? 0 : -1;
      panels[index].hidden = index !== chosen;
    }
  }
  function walk(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length;
    choose(next);
    buttons[next].focus();
  }
  choose(0);
  return element("div", { class: "sources" }, element("div", { class: "tabs", role: "tablist", "aria-label": "Where the recording comes from", onkeydown: walk }, buttons), panels);
}
