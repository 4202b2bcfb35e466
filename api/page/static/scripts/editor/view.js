// The view of one transcript: what is shown depends on how far its job is.

import { records } from "../server/records.js";
import * as transcripts from "../server/transcripts.js";
import { mountEnded } from "./ended.js";
import { mountRunning } from "./running.js";
import { mountWorkspace } from "./workspace.js";

/**
 * @param {HTMLElement} host
 * @param {{id: string, line?: string}} route `line`: the line that is shown first.
 * @returns {Promise<{title: string, unmount: () => Promise<void>, update: (route: {line?: string}) => void}>}
 */
export async function mount(host, { id, line }) {
  const view = new View(host, id);
  try {
    await view.open(line);
  } catch (error) {
    await view.unmount();
    throw error;
  }
  return view;
}

/** Which part shows a record. */
const partOf = (record) => ({ done: "workspace", waiting: "running", working: "running", live: "running" })[record.state] ?? "ended";

const PARTS = { workspace: mountWorkspace, running: mountRunning, ended: mountEnded };

class View {
  #part = null;
  #opening = Promise.resolve();
  #ended = new AbortController();

  constructor(host, id) {
    this.host = host;
    this.id = id;
  }

  get title() {
    return this.record.title;
  }

  async open(line) {
    this.record = records.get(this.id) ?? (await transcripts.get(this.id));
    // What changes while the part is loading is shown once it is there.
    records.addEventListener("change", ({ detail }) => this.#changed(detail), { signal: this.#ended.signal });
    this.#opening = this.#show(line);
    await this.#opening;
  }

  /** Another line of the same transcript was asked for. */
  update({ line }) {
    if (line) this.#part?.showLine?.(line);
  }

  async unmount() {
    this.#ended.abort();
    await this.#part?.unmount();
  }

  #changed({ record, before }) {
    if ((record ?? before)?.id !== this.id) return;
    this.#opening = this.#opening.then(() => this.#follow(record)).catch(() => {}); // the next change tries again
  }

  async #follow(record) {
    if (!record) {
      location.hash = "#/";
      return;
    }
    const before = this.record;
    this.record = record;
    // A transcript that is made anew goes through "waiting", which may be missed; its text is then another.
    if (partOf(record) !== partOf(before)) await this.#show();
    else this.#part?.update?.(record);
  }

  async #show(line) {
    await this.#part?.unmount();
    this.#part = null;
    const host = document.createElement("div");
    host.className = "editor-host";
    const part = await PARTS[partOf(this.record)](host, { record: this.record, line });
    if (this.#ended.signal.aborted) { // the view was left meanwhile
      await part.unmount();
      return;
    }
    this.#part = part;
    this.host.replaceChildren(host);
    this.#part.shown?.();
  }
}

