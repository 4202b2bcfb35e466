// The panel of speakers: their names, how much each says, merging two that are one, and keeping a voice.

import { announce, element, icon, iconButton, menu } from "../dom.js";
import { MOST_NAME_CHARACTERS } from "../model/document.js";
import { formatCount } from "../text/counts.js";
import { Voices } from "./voices.js";

const KEPT_VOICES = "Keep a voice with the button beside its name, and later transcripts name it. Ask the person first: a voice identifies them.";

/**
 * @param {HTMLElement} host
 * @param {{document: import("../model/document.js").Document, record: {id: string}}} parts
 * @returns {{unmount: () => void, focus: () => void}}
 */
export function mountSpeakers(host, { document: transcript, record }) {
  const ended = new AbortController();
  const voices = new Voices(record.id);
  const rows = new Map();
  const list = element("ul", { class: "speaker-list" });
  const hint = element("p", { class: "muted small" });
  const voicesHint = element("p", { class: "muted small", hidden: true }, KEPT_VOICES);
  const add = element("button", { type: "button", onclick: () => rows.get(transcript.addSpeaker())?.focus() }, icon("plus"), "Add speaker");
  const known = element("button", { type: "button", hidden: true, onclick: showVoices }, icon("voice"), "Known voices");
  host.append(element("div", { class: "stack" }, hint, list, voicesHint, element("div", { class: "row" }, add, known)));

  async function showVoices() {
    const { showKnownVoices } = await import("../known_voices.js");
    if (await showKnownVoices()) await voices.refresh();
  }

  function draw() {
    const counts = new Map();
    for (const { speaker } of transcript.lines) counts.set(speaker, (counts.get(speaker) ?? 0) + 1);
    const keys = [...transcript.speakers.keys()];
    const isOther = keys.length !== rows.size || keys.some((key) => !rows.has(key));
    for (const key of rows.keys()) if (!transcript.speakers.has(key)) rows.delete(key);
    // A row stays the same element: a press of its button may be what changes the name.
    keys.forEach((key, index) => {
      if (!rows.has(key)) rows.set(key, new SpeakerRow(key, transcript, voices));
      rows.get(key).update(index + 1, counts.get(key) ?? 0);
    });
    if (isOther) list.replaceChildren(...keys.map((key) => rows.get(key).root));
    hint.textContent = keys.length ? "Type a name. It changes everywhere." : "There are no speakers yet. Add some, then choose one for each line.";
    voicesHint.hidden = !voices.possible || keys.length === 0;
    known.hidden = !voices.possible;
  }

  transcript.addEventListener("change", draw, { signal: ended.signal });
  voices.addEventListener("change", draw, { signal: ended.signal });
  draw();
  return {
    unmount() {
      ended.abort();
      voices.close();
    },
    focus: () => (list.querySelector("input") ?? add).focus(),
  };
}

class SpeakerRow {
  #state = "";
  #picture = "";

  constructor(key, transcript, voices) {
    this.key = key;
    this.document = transcript;
    this.voices = voices;
    this.input = element("input", {
      type: "text", maxlength: MOST_NAME_CHARACTERS, autocomplete: "off", "data-speaker": key, dir: "auto",
      onchange: ({ target }) => transcript.renameSpeaker(key, target.value),
      onkeydown: (event) => { if (event.key === "Enter" && !event.isComposing) event.currentTarget.blur(); },
    });
    this.dot = element("span", { class: "speaker-dot", "aria-hidden": "true" });
    this.count = element("span", { class: "muted small speaker-count" });
    this.keepHost = element("span", { class: "speaker-keep" });
    this.merge = iconButton("Merge", "join");
    this.message = element("p", { class: "small speaker-voice", hidden: true });
    this.root = element("li", { class: "speaker-row" }, this.dot, this.input, this.count,
      element("span", { class: "speaker-tools" }, this.keepHost, menu(this.merge, () => this.#mergeItems())), this.message);
  }

  focus() {
    this.input.focus();
  }

  /** Draw the row of the speaker with this number, who says so many lines. */
  update(number, lineCount) {
    const standard = `Speaker ${number}`;
    const name = this.document.speakers.get(this.key);
    if (this.input.value !== name) this.input.value = name;
    this.input.placeholder = standard;
    this.input.setAttribute("aria-label", `Name of ${standard}`);
    this.dot.dataset.colour = String(this.document.colourOf(this.key));
    this.count.textContent = formatCount(lineCount, "line");
    this.merge.disabled = this.document.speakers.size < 2;
    relabel(this.merge, `Merge ${standard}`);
    if (this.voices.possible) this.#drawVoice(name, standard, lineCount);
  }

  #drawVoice(name, standard, lineCount) {
    const kept = this.voices.kept[this.key];
    const state = kept && (kept.state !== "done" || kept.name === name) ? kept.state : "";
    const [label, picture] = {
      working: [`Keeping the voice of ${kept?.name}…`, "more"],
      done: [`The voice of ${name} is kept`, "check"],
    }[state] ?? [name ? `Keep the voice of ${name}` : `Keep the voice of ${standard}: type a name first`, "voice"];
    if (!this.keep) {
      this.keep = iconButton(label, picture, () => this.#keepVoice());
      this.keepHost.append(this.keep);
    }
    if (this.#picture !== picture) this.keep.replaceChildren(icon(picture)); // else a press of it would get lost
    this.#picture = picture;
    relabel(this.keep, label);
    this.keep.hidden = lineCount === 0;
    this.keep.setAttribute("aria-disabled", String(state === "working" || state === "done"));
    this.message.textContent = state ? kept.message : "";
    this.message.hidden = this.message.textContent === "";
    this.message.classList.toggle("field-error", state === "failed");
    if (state !== this.#state && this.#state && !this.message.hidden) announce(kept.message);
    this.#state = state;
  }

  #keepVoice() {
    const name = this.document.speakers.get(this.key);
    if (!name) this.focus();
    else if (this.keep.getAttribute("aria-disabled") !== "true") this.voices.keep(this.key, name);
  }

  #mergeItems() {
    const { document: transcript, key } = this;
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
}

/** Name a button that shows an icon only. */
function relabel(button, label) {
  button.setAttribute("aria-label", label);
  button.title = label;
}
