// Recordings of the microphone, kept in the browser second by second until the server has them: a reload, a crash or a
// full disk of the server loses nothing.

import { formatStamp } from "../text/clock.js";

const DATABASE = "worker-whisper-recordings";

let opened = null;

/** @returns {Promise<Recordings>} */
export function openRecordings() {
  opened ??= open().then((database) => new Recordings(database));
  return opened;
}

function open() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(DATABASE, 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("recordings", { keyPath: "id" });
      asked.result.createObjectStore("pieces", { keyPath: ["recording", "number"] });
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

/** @typedef {{id: string, started: number, type: string, seconds: number}} Recording `started` in ms of Unix time. */

class Recordings {
  #database;

  constructor(database) {
    this.#database = database;
  }

  /** @param {Recording} recording */
  begin(recording) {
    return this.#change((recordings) => recordings.put(recording));
  }

  /**
   * @param {Recording} recording with its new length.
   * @param {number} number of the piece, from 0.
   * @param {Blob} bytes
   */
  append(recording, number, bytes) {
    return this.#change((recordings, pieces) => {
      recordings.put(recording);
      pieces.put({ recording: recording.id, number, bytes });
    });
  }

  /** @param {string} id */
  remove(id) {
    return this.#change((recordings, pieces) => {
      recordings.delete(id);
      pieces.delete(piecesOf(id));
    });
  }

  /** @returns {Promise<Recording[]>} those with sound, which no tab is making at the moment. */
  async leftOver() {
    const transaction = this.#database.transaction("recordings");
    const all = await answer(transaction.objectStore("recordings").getAll());
    const { held } = await navigator.locks.query();
    const inUse = new Set(held.map(({ name }) => name));
    return all.filter(({ id, seconds }) => seconds > 0 && !inUse.has(lockOf(id)));
  }

  /**
   * @param {Recording} recording
   * @returns {Promise<File>} its sound. Its name and time are always the same, so that an upload of it resumes.
   */
  async toFile({ id, started, type }) {
    const transaction = this.#database.transaction("pieces");
    const pieces = await answer(transaction.objectStore("pieces").getAll(piecesOf(id)));
    const suffix = type.includes("mp4") ? "m4a" : "webm";
    return new File(pieces.map(({ bytes }) => bytes), `${titleOf(started)}.${suffix}`, { type, lastModified: started });
  }

  #change(write) {
    return new Promise((resolve, reject) => {
      const transaction = this.#database.transaction(["recordings", "pieces"], "readwrite");
      write(transaction.objectStore("recordings"), transaction.objectStore("pieces"));
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
  }
}

/** Held by the tab that makes or sends a recording. @param {string} id */
export const lockOf = (id) => `worker-whisper-recording ${id}`;

const piecesOf = (id) => IDBKeyRange.bound([id, 0], [id, Infinity]);

const answer = (asked) =>
  new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });

const titleOf = (started) => `Recording ${formatStamp(new Date(started))}`;
