// Captions as they are read: final lines, and below them the words that are not final yet.

import { element } from "../dom.js";

const MOST_LINES = 500; // shown; all of them are in the transcript

/** A list that stays at its end unless somebody scrolls up. */
export class Captions {
  #lines = new Map(); // final ones by id
  #running = new Map(); // texts by number of the utterance
  #speakers = []; // keys, in order of first speech
  #final = element("div", { role: "log", "aria-live": "polite", "aria-label": "Final captions" });
  #unfinished = element("p", { class: "caption is-running", dir: "auto", hidden: true });
  #hint = element("p", { class: "muted captions-hint" }, "Start speaking. The words appear here.");

  constructor() {
    this.root = element("div", { class: "captions", role: "region", "aria-label": "Captions", tabindex: "0" }, this.#hint, this.#final, this.#unfinished);
  }

  /** Somebody has spoken, or will not any more. */
  dropHint() {
    this.#hint.remove();
  }

  /** @param {{lines: Object[], running: Array<{utterance: number, text: string}>}} missed while there was no connection. */
  showMissed({ lines, running }) {
    this.#running = new Map(running.map(({ utterance, text }) => [utterance, text]));
    this.#add(lines);
  }

  /** @param {{utterance: number, text: string}} message */
  showRunning({ utterance, text }) {
    this.#running.set(utterance, text);
    this.#add([]);
  }

  /** @param {{utterance: number, lines: Object[]}} message final lines, in place of the utterance's running text. */
  showFinal({ utterance, lines }) {
    this.#running.delete(utterance);
    this.#add(lines);
  }

  #add(lines) {
    const { root } = this;
    const isAtEnd = root.scrollTop + root.clientHeight >= root.scrollHeight - 40;
    for (const line of lines) this.#insert(line);
    this.#unfinished.textContent = [...this.#running.keys()].sort((one, other) => one - other).map((key) => this.#running.get(key).trim()).join(" ");
    this.#unfinished.hidden = !this.#unfinished.textContent;
    if (lines.length || !this.#unfinished.hidden) this.dropHint();
    if (isAtEnd) root.scrollTop = root.scrollHeight;
  }

  #insert(line) {
    if (this.#lines.has(line.id)) return;
    const text = line.words.map(([word]) => word).join("").trim();
    const made = element("p", { class: "caption", dir: "auto" }, line.speaker !== null && this.#speaker(line.speaker), text);
    const after = [...this.#lines.values()].find(({ start }) => start > line.start);
    this.#final.insertBefore(made, after?.made ?? null);
    this.#lines.set(line.id, { start: line.start, made });
    if (this.#lines.size > MOST_LINES) this.#dropFirst();
  }

  #speaker(key) {
    if (!this.#speakers.includes(key)) this.#speakers.push(key);
    const number = this.#speakers.indexOf(key);
    return element("span", { class: "caption-who", "data-speaker": number % 8 }, `Speaker ${number + 1}`, element("span", { class: "visually-hidden" }, ": "));
  }

  #dropFirst() {
    const [id, { made }] = this.#lines.entries().next().value;
    made.remove();
    this.#lines.delete(id);
  }
}
