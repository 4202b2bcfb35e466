// Keeps a document and the server's copy of it the same: saves what is edited here, takes over what is edited in other
// tabs, and says when something is not saved.

import { tabStore } from "../storage.js";
import { contentOf, isSame } from "./document.js";
import { dropUnsaved, holdEditor, keepUnsaved } from "./unsaved.js";

/**
 * @typedef {import("./document.js").Line} Line
 * @typedef {{edit: (id: string, edits: Object, settings?: Object) => Promise<{revision: number, conflicts: Line[]}>,
 *   changes: (id: string, since: number) => Promise<Object>}} Server
 */

const PAUSE_MS = 1000;
const LONGEST_RETRY_MS = 15_000;

/** For a view that is left: what the server does not answer until then is kept in the browser. */
const LONGEST_CLOSE_MS = 1500;

/** Of one request, in lines and in characters of JSON; more are saved by several (`api/page/edits.py` has the limits). */
const MOST_LINES = 400;
const MOST_SENT_CHARACTERS = 1_000_000;

/** A request that outlives its page has 64 KiB at most (https://fetch.spec.whatwg.org/#http-network-or-cache-fetch). */
const MOST_KEEPALIVE_BYTES = 60_000;

/** Undo steps of more than this are not kept over a reload. */
const MOST_HISTORY_CHARACTERS = 1_000_000;

/** Fires "conflicts" when these change, and "status" when these or `status` do. */
export class Saver extends EventTarget {
  /** @type {"saved"|"saving"|"retrying"|"refused"} "retrying": later, by itself; "refused": on demand */ status = "saved";
  /** @type {import("../server/client.js").ServerError|null} why the last try to save failed */ error = null;
  /** @type {Map<string, Line|null>} lines changed both here and elsewhere, as they are there; null: removed there */
  conflicts = new Map();
  editor = crypto.getRandomValues(new Uint32Array(2)).join("-");
  #lines = new Set();
  #titleChanged = false;
  #revisions = new Map();
  #sent = new Map(); // contents of lines that were sent without an answer: the server may have them
  #known; // names of the speakers, as the server has them
  #timer = 0;
  #keeping = 0;
  #failures = 0;
  #running = null;
  #closed = new AbortController();
  #release;

  /**
   * @param {{id: string, document: import("./document.js").Document, revision: number, server: Server,
   *   unsaved?: import("./unsaved.js").Kept[]}} parts `revision` is that of the server's document from which `document`
   *   was made; `unsaved`: what was kept of earlier edits.
   */
  constructor({ id, document, revision, server, unsaved = [] }) {
    super();
    Object.assign(this, { id, document, server });
    this.#release = holdEditor(this.editor);
    this.synced = revision;
    this.#known = new Map(document.speakers);
    for (const line of document.lines) this.#revisions.set(line.id, line.revision);
    for (const kept of unsaved) this.#takeUp(kept);
    this.#takeUpHistory();
    if (this.isPending) this.status = "saving";
    const { signal } = this.#closed;
    document.addEventListener("change", ({ detail }) => this.#note(detail), { signal });
    addEventListener("beforeunload", (event) => { if (this.isPending) event.preventDefault(); }, { signal });
    addEventListener("pagehide", () => this.#leave(), { signal });
    addEventListener("online", () => this.flush(), { signal });
    this.#schedule();
  }

  /** Whether something here is not on the server. */
  get isPending() {
    return this.#lines.size > 0 || this.#titleChanged || this.#renamed().length > 0 || this.#running !== null;
  }

  /**
   * Save now.
   *
   * @returns {Promise<boolean>} whether all is saved.
   */
  async flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#running ??= this.#saveAll().finally(() => { this.#running = null; });
    await this.#running;
    if (!this.#hasWork() && this.status === "saving") this.#become("saved");
    return !this.isPending;
  }

  /** Take over what others have saved, if there is something: on an event, or when events may have been missed. */
  async pull() {
    try {
      let changes;
      do {
        await this.#running;
        changes = await this.server.changes(this.id, this.synced);
      } while (this.#running); // a line that is being sent would pass for one that nobody changed here
      if (changes.revision > this.synced) this.#takeOver(changes); // else a save that ended meanwhile is newer
    } catch {
      // The next event, or the next connection, tries again.
    }
  }

  /**
   * Settle a line that was changed both here and elsewhere.
   *
   * @param {string} id
   * @param {"mine"|"theirs"} choice
   */
  resolve(id, choice) {
    const theirs = this.conflicts.get(id);
    if (theirs === undefined) return;
    this.conflicts.delete(id);
    if (choice === "theirs") {
      this.#lines.delete(id);
      this.document.merge(theirs ? { lines: [theirs] } : { deleted: [id] });
    }
    this.#schedule(0);
    this.#tell("conflicts");
    this.#tell("status");
  }

  /**
   * Stop, when the view is left; what is not saved yet is saved first, or kept in the browser.
   *
   * @returns {Promise<boolean>} whether all is saved.
   */
  async close() {
    this.#keepHistory();
    this.#keepUnsaved();
    await Promise.race([this.flush(), new Promise((resolve) => setTimeout(resolve, LONGEST_CLOSE_MS))]);
    clearTimeout(this.#timer);
    clearTimeout(this.#keeping);
    this.#closed.abort();
    this.#release();
    return !this.isPending;
  }

  #note({ ids, title, cause }) {
    if (cause === "remote") return;
    for (const id of ids) this.#lines.add(id);
    this.#titleChanged ||= title;
    this.#schedule();
    if (this.error) this.#keepSoon();
    if (this.status === "saved") this.#become("saving");
  }

  #schedule(delay = PAUSE_MS) {
    if (!this.#timer && !this.#closed.signal.aborted && this.#hasWork()) this.#timer = setTimeout(() => this.flush(), delay);
  }

  #hasWork() {
    return this.#titleChanged || this.#renamed().length > 0 || [...this.#lines].some((id) => !this.conflicts.has(id));
  }

  /** Names of speakers that the server has not: `[key, name]`, null for one who is gone. */
  #renamed() {
    const { speakers } = this.document;
    const set = [...speakers].filter(([key, name]) => this.#known.get(key) !== name);
    const gone = [...this.#known.keys()].filter((key) => !speakers.has(key)).map((key) => [key, null]);
    return [...set, ...gone];
  }

  async #saveAll() {
    while (this.#hasWork()) {
      this.#keepUnsaved();
      const ids = this.#nextLines();
      const sent = { edits: this.#editsOf(ids), speakers: new Map(this.document.speakers) };
      for (const id of ids) this.#noteSent(id, this.document.get(id));
      for (const id of ids) this.#lines.delete(id);
      this.#titleChanged = false;
      this.#become("saving");
      let answer;
      try {
        answer = await this.server.edit(this.id, sent.edits);
      } catch (error) {
        for (const id of ids) this.#lines.add(id);
        this.#titleChanged ||= sent.edits.title !== undefined;
        this.#failed(error);
        return;
      }
      this.#failures = 0;
      this.#known = sent.speakers;
      await this.#written(sent.edits, answer);
    }
    this.error = null;
    this.#keepUnsaved();
    this.#become("saved");
  }

  /** IDs of the lines that one request saves: as many as it may hold, at least one if there are any. */
  #nextLines() {
    const ids = [];
    let characters = 0;
    for (const id of this.#lines) {
      if (this.conflicts.has(id)) continue;
      characters += contentOf(this.document.get(id)).length;
      if (ids.length === MOST_LINES || (ids.length && characters > MOST_SENT_CHARACTERS)) break;
      ids.push(id);
    }
    return ids;
  }

  #editsOf(ids) {
    const edits = { editor: this.editor };
    const lines = ids.map((id) => this.document.get(id)).filter(Boolean);
    const gone = ids.filter((id) => !this.document.get(id) && this.#revisions.has(id));
    if (lines.length) edits.lines = lines.map(({ revision, ...line }) => ({ ...line, based_on: this.#revisions.get(line.id) ?? 0 }));
    if (gone.length) edits.deleted = gone.map((id) => ({ id, based_on: this.#revisions.get(id) }));
    if (this.#renamed().length) edits.speakers = Object.fromEntries(this.#renamed());
    if (this.#titleChanged) edits.title = this.document.title;
    return edits;
  }

  async #written({ lines = [], deleted = [] }, { revision, conflicts = [] }) {
    const refused = new Set(conflicts.map((line) => line.id));
    for (const { id } of lines) if (!refused.has(id)) this.#revisions.set(id, revision);
    for (const { id } of deleted) if (!refused.has(id)) this.#revisions.delete(id);
    for (const line of conflicts) this.#collide(line.id, line.deleted ? null : line);
    for (const { id } of [...lines, ...deleted]) this.#sent.delete(id);
    // Between this tab's last revision and its own new one, others may have saved.
    if (revision === this.synced + 1) this.synced = revision;
    else this.#takeOver(await this.server.changes(this.id, this.synced).catch(() => ({ revision: this.synced })));
  }

  /** A line was changed there; if it was changed here too, a person has to choose. */
  #collide(id, theirs) {
    if (theirs) this.#revisions.set(id, theirs.revision);
    else this.#revisions.delete(id);
    if (isSame(this.document.get(id), theirs)) {
      this.#lines.delete(id);
      if (this.conflicts.delete(id)) this.#tell("conflicts");
      return;
    }
    this.#lines.add(id);
    if (this.#sent.get(id)?.has(contentOf(theirs))) return; // it is from here: only the answer got lost
    this.conflicts.set(id, theirs);
    this.#tell("conflicts");
    this.#tell("status");
  }

  #noteSent(id, line) {
    if (!this.#sent.has(id)) this.#sent.set(id, new Set());
    this.#sent.get(id).add(contentOf(line));
  }

  #takeOver({ revision, lines = [], deleted = [], speakers, title }) {
    const news = lines.filter((line) => this.#revisions.get(line.id) !== line.revision);
    const gone = deleted.filter((id) => this.#revisions.has(id));
    for (const line of news.filter(({ id }) => this.#lines.has(id))) this.#collide(line.id, line);
    for (const id of gone.filter((one) => this.#lines.has(one))) this.#collide(id, null);
    const quiet = { lines: news.filter(({ id }) => !this.#lines.has(id)), deleted: gone.filter((id) => !this.#lines.has(id)) };
    for (const line of quiet.lines) this.#revisions.set(line.id, line.revision);
    for (const id of quiet.deleted) this.#revisions.delete(id);
    if (speakers && !this.#renamed().length) {
      quiet.speakers = speakers;
      this.#known = new Map(Object.entries(speakers));
    }
    if (title !== undefined && !this.#titleChanged) quiet.title = title;
    this.synced = Math.max(this.synced, revision);
    this.document.merge(quiet);
  }

  #failed(error) {
    const isPassing = !error.status || error.status >= 500 || error.status === 429 || error.status === 408;
    this.error = error;
    this.status = isPassing ? "retrying" : "refused";
    this.#tell("status");
    if (!isPassing) return; // the next change, or the person, tries again
    this.#schedule(Math.min(LONGEST_RETRY_MS, PAUSE_MS * 2 ** this.#failures));
    this.#failures += 1;
  }

  #become(status) {
    if (this.status === status) return;
    this.status = status;
    this.#tell("status");
  }

  #tell(name) {
    this.dispatchEvent(new Event(name));
  }

  /** The tab is closed, reloaded or put aside: send what is left in a request that outlives it. */
  #leave() {
    this.#keepHistory();
    this.#keepUnsaved();
    if (!this.#hasWork()) return;
    const edits = this.#editsOf(this.#nextLines());
    for (const id of this.#lines) this.#noteSent(id, this.document.get(id));
    const bytes = new TextEncoder().encode(JSON.stringify(edits)).length;
    if (bytes <= MOST_KEEPALIVE_BYTES) this.server.edit(this.id, edits, { keepalive: true }).catch(() => {});
  }

  #keepUnsaved() {
    const ids = [...this.#lines];
    keepUnsaved(this.id, this.editor, this.#hasWork() || ids.length ? this.#editsOf(ids) : null);
  }

  /** While nothing can be saved, what is typed is kept all the same. */
  #keepSoon() {
    this.#keeping ||= setTimeout(() => {
      this.#keeping = 0;
      this.#keepUnsaved();
    }, PAUSE_MS);
  }

  #keepHistory() {
    const { past, future } = this.document.history;
    const text = JSON.stringify({ past, future });
    tabStore.set(`history ${this.id}`, text.length > MOST_HISTORY_CHARACTERS ? null : { past, future });
  }

  /** Take up what an earlier editor could not save. Of two that changed the same line, one waits for the next visit. */
  #takeUp(kept) {
    const { lines = [], deleted = [], speakers = {}, title } = kept.edits;
    if ([...lines, ...deleted].some(({ id }) => this.#lines.has(id))) return;
    for (const { id, based_on } of [...lines, ...deleted]) {
      this.#lines.add(id);
      if (based_on) this.#revisions.set(id, based_on);
    }
    for (const line of lines) this.#noteSent(line.id, line);
    for (const { id } of deleted) this.#noteSent(id, null);
    const names = Object.entries({ ...Object.fromEntries(this.document.speakers), ...speakers });
    this.document.merge({
      lines: lines.map(({ based_on, ...line }) => ({ ...line, revision: based_on })),
      deleted: deleted.map(({ id }) => id),
      speakers: Object.fromEntries(names.filter(([, name]) => name !== null)),
      title,
    });
    this.#titleChanged ||= title !== undefined;
    this.#keepUnsaved();
    dropUnsaved(kept);
  }

  /** What this tab could undo before it was reloaded. */
  #takeUpHistory() {
    const kept = tabStore.get(`history ${this.id}`);
    if (kept) this.document.history.restore(kept, (id, line) => isSame(this.document.get(id), line));
  }
}
