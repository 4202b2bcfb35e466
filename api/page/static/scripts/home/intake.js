// Recordings on their way to the server. They go on while another view is open, and one after the other, so that the
// first one is worked on while the next one is sent.

import { openRecordings } from "./recordings.js";
import { records } from "../server/records.js";
import * as transcripts from "../server/transcripts.js";
import { discard, fingerprintOf, upload } from "../server/uploads.js";
import { tabStore } from "../storage.js";
import { describeProblem } from "../text/problems.js";
import { formatSize } from "../text/clock.js";

const STORED_AS = "worker-whisper-uploads";
const MOST_TITLE_CHARACTERS = 200; // the server's

/**
 * @typedef {{key: string, title: string, size: number, fraction: number, secondsLeft: number|null, isWaiting: boolean,
 *   state: "queued"|"uploading"|"failed"|"interrupted", problem: import("../text/problems.js").Problem|null,
 *   parts: Array<{file?: File, url?: string, name?: string, offset?: number|null, size: number, fingerprint: string, uploadId?: string}>}} Item
 *   `parts`: its files; those of a conversation have a `name`, the speaker's, and may be at a `url`.
 * @typedef {{file?: File, url?: string, name: string, offset: number|null}} GivenTrack one of both; `offset`: seconds after
 *   the earliest track's start, null if they are not known.
 */

class Intake extends EventTarget {
  #items = [];
  #isRunning = false;
  #limits = { upload_bytes: Infinity, piece_bytes: 1 << 20 };

  constructor() {
    super();
    this.#items = readStored();
    addEventListener("beforeunload", (event) => {
      if (this.#items.some(({ state, recording }) => (state === "queued" || state === "uploading") && !recording)) event.preventDefault();
    });
  }

  /** @param {{upload_bytes: number, piece_bytes: number}} limits of the session. */
  set limits(limits) {
    this.#limits = limits;
  }

  /** @returns {Item[]} newest first. */
  get items() {
    return this.#items.filter((item) => !hasRecord(item)).reverse();
  }

  /** @returns {Item|null} the one that is being sent. */
  get uploading() {
    return this.#items.find(({ state }) => state === "uploading") ?? null;
  }

  /**
   * Send files and start a job for each.
   *
   * @param {File[]} files
   * @param {Object<string, any>} options of their jobs.
   * @param {{id: string, release: () => void}|null} [recording] of the microphone: deleted here once it has arrived.
   */
  addFiles(files, options, recording = null) {
    for (const file of files) {
      if (this.resume(file)) continue;
      this.#add({ ...emptyItem(), title: file.name.replace(/\.[^.]{1,5}$/, ""), parts: [partOf(file)], options, recording });
    }
    this.#changed();
    this.#run();
  }

  /**
   * Send tracks of one conversation and start a job for all of them.
   *
   * @param {GivenTrack[]} tracks with the names of their speakers.
   * @param {Object<string, any>} options
   */
  addConversation(tracks, options) {
    const title = tracks.map(({ name }) => name).join(", ").slice(0, MOST_TITLE_CHARACTERS);
    this.#add({ ...emptyItem(), title, parts: tracks.map(partOfTrack), options });
    this.#changed();
    this.#run();
  }

  /**
   * Start a job for each address.
   *
   * @param {string[]} addresses
   * @param {Object<string, any>} options
   */
  addAddresses(addresses, options) {
    for (const url of addresses) this.#items.push({ ...emptyItem(), title: titleOfAddress(url), url, options });
    this.#changed();
    this.#run();
  }

  /**
   * Go on with an upload that a reload stopped.
   *
   * @param {File} file
   * @returns {boolean} whether there was such an upload.
   */
  resume(file) {
    const isMissing = (part) => isLost(part) && part.fingerprint === fingerprintOf(file);
    const item = this.#items.find(({ state, parts }) => state === "interrupted" && parts.some(isMissing));
    if (!item) return false;
    item.parts.find(isMissing).file = file;
    if (!item.parts.some(isLost)) item.state = "queued";
    this.#changed();
    this.#run();
    return true;
  }

  /** Send it once more. @param {string} key */
  retry(key) {
    Object.assign(this.#find(key), { state: "queued", problem: null, before: undefined });
    this.#changed();
    this.#run();
  }

  /** Stop it and drop what was sent; a recording of the microphone is kept in the browser. @param {string} key */
  cancel(key) {
    const item = this.#find(key);
    this.#items = this.#items.filter((other) => other !== item);
    item.stop?.abort();
    for (const { uploadId } of item.parts) if (uploadId) discard(uploadId).catch(() => {}); // the server drops unfinished ones in time
    item.recording?.release(); // its sound stays in the browser until somebody deletes it
    this.#changed();
  }

  #add(item) {
    item.size = item.parts.reduce((sum, { size }) => sum + size, 0);
    for (const part of item.parts) {
      if (part.size > this.#limits.upload_bytes) fail(item, tooLarge(part.size, this.#limits.upload_bytes), part);
      else if (part.size === 0 && !part.url) fail(item, describeProblem({ message: "the file is empty" }), part);
    }
    this.#items.push(item);
  }

  #find(key) {
    return this.#items.find((item) => item.key === key);
  }

  async #run() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    for (let item; (item = this.#items.find(({ state }) => state === "queued")); ) await this.#send(item);
    this.#isRunning = false;
  }

  async #send(item) {
    item.state = "uploading";
    item.stop = new AbortController();
    this.#changed();
    try {
      const source = item.url ? { url: item.url } : await this.#uploadAll(item);
      item.before = new Set(records.all.map(({ id }) => id));
      const record = await transcripts.create(source, item.options, item.title);
      const isWanted = this.#items.includes(item);
      this.#items = this.#items.filter((other) => other !== item);
      if (!isWanted) {
        await transcripts.remove(record.id); // cancelled while the server began with it
        return;
      }
      if (item.recording) await dropRecording(item.recording);
      records.put(record);
    } catch (error) {
      if (error.name === "NotReadableError") fail(item, CHANGED, item.sent);
      else if (error.name !== "AbortError") fail(item, describeProblem(error), item.sent);
    }
    this.#changed();
  }

  async #uploadAll(item) {
    const ids = [];
    for (const part of item.parts) {
      item.sent = part;
      ids.push(part.url ? undefined : await this.#upload(item, part));
    }
    item.sent = undefined;
    if (item.parts[0].name === undefined) return { upload: ids[0], kind: item.recording ? "microphone" : "file" };
    return { tracks: item.parts.map(({ name, url, offset }, number) => ({ upload: ids[number], url, name, offset })) };
  }

  #upload(item, part) {
    const started = { at: Date.now(), received: null };
    const before = item.parts.slice(0, item.parts.indexOf(part)).reduce((sum, { size }) => sum + size, 0);
    return upload(part.file, {
      pieceBytes: this.#limits.piece_bytes,
      signal: item.stop.signal,
      onProgress: ({ id, received, isWaiting }) => {
        started.received ??= received;
        const speed = (received - started.received) / (Date.now() - started.at + 1);
        part.uploadId = id;
        Object.assign(item, {
          isWaiting,
          fraction: (before + received) / item.size,
          secondsLeft: speed > 0 ? (item.size - before - received) / speed / 1000 : null,
        });
        this.#changed();
      },
    });
  }

  #changed() {
    store(this.#items);
    this.dispatchEvent(new Event("change"));
  }
}

// The event of a new transcript may come before the answer to the request that made it.
const hasRecord = ({ before, title }) => before !== undefined && records.all.some((record) => !before.has(record.id) && record.title === title);

async function dropRecording({ id, release }) {
  await (await openRecordings()).remove(id);
  release();
}

const CHANGED = { title: "The file cannot be read any more.", remedy: "It was changed, moved or deleted. Choose it again.", needs: "recording" };

const tooLarge = (size, most) => ({
  title: `The file is too large: ${formatSize(size)}, and this server takes ${formatSize(most)}.`,
  remedy: "Split it, or convert it to a smaller format such as MP3.",
  needs: "recording",
});

// A problem of a track's file has the name of the track.
const fail = (item, problem, part) => Object.assign(item, {
  state: "failed", problem: part?.name && problem.needs === "recording" ? { ...problem, title: `${part.name}: ${problem.title}` } : problem,
});

const emptyItem = () => ({ key: crypto.getRandomValues(new Uint32Array(2)).join("-"), parts: [], size: 0, fraction: 0, secondsLeft: null, isWaiting: false, state: "queued", problem: null });

const partOf = (file) => ({ file, size: file.size, fingerprint: fingerprintOf(file) });

const partOfTrack = ({ file, url, name, offset }) => ({ ...(file ? partOf(file) : { url, size: 0, fingerprint: "" }), name, offset });

/** Whether a reload has lost the file, which then has to be chosen again. */
export const isLost = ({ file, url }) => !file && !url;

function titleOfAddress(url) {
  const { hostname, pathname } = new URL(url);
  const last = pathname.split("/").filter(Boolean).at(-1);
  if (!last) return hostname;
  try {
    return decodeURIComponent(last).replace(/\.[^.]{1,5}$/, "");
  } catch {
    return last;
  }
}

// A browser does not keep files over a reload, but it can keep what was being sent. Of this tab only: the other
// tabs' uploads go on. Recordings of the microphone are kept elsewhere, with their sound.
function store(items) {
  const kept = items.filter(({ size, recording, state }) => size && !recording && state !== "failed")
    .map(({ title, size, fraction, options, parts }) => ({ title, size, fraction, options, parts: parts.map(({ file, ...part }) => part) }));
  tabStore.set(STORED_AS, kept);
}

function readStored() {
  return (tabStore.get(STORED_AS) ?? []).map((one) => ({ ...emptyItem(), ...one, state: "interrupted" }));
}

export const intake = new Intake();
