// Which of a transcript's voices are kept, so that later transcripts name them. Only on the user's own machine.

import * as transcripts from "../server/transcripts.js";

const POLL_MS = 1000;

/**
 * Fires "change" when it is known whether voices can be kept, and when one begins or ends to be kept.
 */
export class Voices extends EventTarget {
  /** @type {boolean} whether the server keeps voices */ possible = false;
  /** @type {Object<string, {name: string, state: "working"|"done"|"failed", message: string}>} by speaker */ kept = {};
  #timer = 0;
  #isClosed = false;

  /** @param {string} id of the transcript. */
  constructor(id) {
    super();
    this.id = id;
    this.#ask(() => transcripts.voicesOf(id));
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /**
   * Keep a speaker's voice by a name.
   *
   * @param {string} speaker its key.
   * @param {string} name
   */
  async keep(speaker, name) {
    clearTimeout(this.#timer);
    this.#take({ possible: true, kept: { ...this.kept, [speaker]: { name, state: "working", message: "" } } });
    try {
      await this.#ask(() => transcripts.keepVoice(this.id, speaker, name), true);
    } catch (error) {
      const message = error.message.replace(/^name: /, "");
      const failed = { name, state: "failed", message: `${message[0].toUpperCase()}${message.slice(1)}.` };
      this.#take({ possible: this.possible, kept: { ...this.kept, [speaker]: failed } });
      this.#poll();
    }
  }

  /** Ask again what is kept: a voice may have been forgotten. */
  refresh() {
    return this.#ask(() => transcripts.voicesOf(this.id));
  }

  async #ask(send, throws = false) {
    try {
      this.#take(await send());
    } catch (error) {
      if (throws) throw error;
    }
    this.#poll();
  }

  #take({ possible, kept }) {
    if (this.#isClosed) return;
    this.possible = possible;
    this.kept = kept;
    this.dispatchEvent(new Event("change"));
  }

  #poll() {
    clearTimeout(this.#timer);
    if (this.#isClosed || !Object.values(this.kept).some(({ state }) => state === "working")) return;
    this.#timer = setTimeout(() => this.#ask(() => transcripts.voicesOf(this.id)), POLL_MS);
  }
}
