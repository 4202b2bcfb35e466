// The visitor's transcripts as the server has them, kept up to date by its events.

import { subscribe } from "./events.js";
import * as transcripts from "./transcripts.js";

/** Event "change" after each change, with detail {record, before}: null where there is none. */
class Records extends EventTarget {
  #byId = new Map();
  #started = null;

  /** @returns {Promise<void>} resolved when the list is there; loads it once. */
  start() {
    this.#started ??= this.#load();
    return this.#started;
  }

  /** Keep the list up to date from now on: the first "hello" brings what has changed since it was loaded. */
  follow() {
    subscribe("hello", () => this.#load().catch(() => {})); // the next "hello" tries again
    subscribe("record", (record) => this.put(record));
    subscribe("removed", ({ id }) => this.drop(id));
  }

  async #load() {
    const all = await transcripts.list();
    const there = new Set(all.map(({ id }) => id));
    for (const id of this.#byId.keys()) if (!there.has(id)) this.drop(id);
    for (const record of all) this.put(record);
  }

  /** @returns {transcripts.Record[]} newest first. */
  get all() {
    return [...this.#byId.values()].sort((one, other) => other.created - one.created);
  }

  /** @param {string} id */
  get(id) {
    return this.#byId.get(id) ?? null;
  }

  /** @param {transcripts.Record} record from an event or an answer; one that an event has overtaken changes nothing. */
  put(record) {
    const before = this.get(record.id);
    if (before && record.updated < before.updated) return;
    this.#byId.set(record.id, record);
    this.#tell(record, before);
  }

  /** @param {string} id */
  drop(id) {
    const before = this.get(id);
    if (this.#byId.delete(id)) this.#tell(null, before);
  }

  #tell(record, before) {
    this.dispatchEvent(new CustomEvent("change", { detail: { record, before } }));
  }
}

export const records = new Records();

/**
 * @param {{record: transcripts.Record|null, before: transcripts.Record|null}} change detail of a "change".
 * @returns {boolean} whether a job has just come to its end, by itself.
 */
export const hasJustEnded = ({ record, before }) =>
  (before?.state === "waiting" || before?.state === "working") && (record?.state === "done" || record?.state === "failed");
