// The paths of transcripts, one function for each. `id` is always a transcript's.

import { addressOf, request, send } from "./client.js";

/**
 * @typedef {{id: string, title: string, created: number, updated: number,
 *   state: "live"|"waiting"|"working"|"done"|"failed"|"cancelled", stage: string, fraction: number, seconds_left: number|null,
 *   error: {type: string, message: string}|null, source: {kind: string, name: string, size: number, url: string|null, tracks: Array<{name: string}>},
 *   media: {kind: "audio"|"video", playable: boolean}|null, duration: number|null, language: string|null,
 *   model: string|null, processing_time: number|null, warnings: string[], options: Object<string, any>,
 *   revision: number, edited: boolean, speakers: Object<string, string>, preview: string,
 *   video: {state: string, fraction: number, captions: string, revision: number}|null}} Record
 */

const at = (id, rest = "") => `transcripts/${encodeURIComponent(id)}${rest}`;
const query = (values) => {
  const set = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return set.length ? `?${new URLSearchParams(set)}` : "";
};

/** @returns {Promise<{models: string[], schemas: Object<string, Object>, live: boolean, voices: boolean}>} what may be asked of a job, and whether there are live captions and known voices. */
export const options = () => request("GET", "options");

/** @returns {Promise<Record[]>} newest first. */
export const list = async () => (await request("GET", "transcripts")).transcripts;

/**
 * Start a job.
 *
 * @param {{upload: string, kind: "file"|"microphone"}|{url: string}|{tracks: Array<{upload?: string, url?: string, name: string, offset?: number}>}} source
 * @param {Object<string, any>} jobOptions
 * @param {string} title
 * @returns {Promise<Record>}
 */
export const create = (source, jobOptions, title) => request("POST", "transcripts", { ...source, options: jobOptions, title });

/**
 * Begin live captions, which wait for their sound.
 *
 * @param {{language?: string, diarize?: boolean, redact?: string[]}} liveOptions
 * @param {string} title
 * @returns {Promise<Record>}
 */
export const beginLive = (liveOptions, title) => request("POST", "live", { options: liveOptions, title });

/** @returns {Promise<Record>} */
export const get = (id) => request("GET", at(id));
export const remove = (id) => request("DELETE", at(id));
/** @returns {Promise<Record>} */
export const cancel = (id) => request("POST", at(id, "/cancel"));

/**
 * Run it again on the same recording. Corrections are replaced.
 *
 * @param {string} id
 * @param {Object<string, any>} [jobOptions] other options than before.
 * @returns {Promise<Record>}
 */
export const retry = (id, jobOptions) => request("POST", at(id, "/retry"), jobOptions ? { options: jobOptions } : {});

/** @returns {Promise<{revision: number, lines: Object[], speakers: Object<string, string>, language: string}>} */
export const documentOf = (id) => request("GET", at(id, "/document"));
/** @returns {Promise<{revision: number, lines: Object[], deleted: string[], speakers: Object, title: string}>} */
export const changes = (id, since) => request("GET", at(id, `/changes?since=${since}`));

/**
 * Save corrections.
 *
 * @param {string} id
 * @param {{editor: string, lines?: Object[], deleted?: Object[], speakers?: Object, title?: string}} edits
 * @param {{keepalive?: boolean}} [settings] `keepalive` lets the request outlive the page (at most 64 kB).
 * @returns {Promise<{revision: number, conflicts: Object[]}>}
 */
export const edit = (id, edits, settings) => request("PATCH", at(id), edits, settings);

/** @returns {string} the recording's address. */
export const mediaAddress = (id) => addressOf(at(id, "/media"));
/** @returns {string} the address of a copy that browsers play. */
export const playableAddress = (id) => addressOf(at(id, "/media?copy=playable"));

/**
 * Ask for the playable copy without loading it.
 *
 * @returns {Promise<{ready: boolean, fraction: number}>}
 */
export async function playable(id) {
  const stop = new AbortController();
  const response = await send("GET", at(id, "/media?copy=playable"), undefined, { signal: stop.signal });
  if (response.status === 202) return { ready: false, fraction: (await response.json()).fraction };
  stop.abort();
  return { ready: true, fraction: 1 };
}

/**
 * @returns {Promise<{ready: boolean, fraction?: number, values?: Uint8Array, perSecond?: number}>} loudness, 0 to 255.
 */
export async function peaks(id) {
  const response = await send("GET", at(id, "/peaks"));
  if (response.status === 202) return { ready: false, fraction: (await response.json()).fraction };
  const perSecond = Number(response.headers.get("x-peaks-per-second"));
  return { ready: true, values: new Uint8Array(await response.arrayBuffer()), perSecond };
}

/** @returns {Promise<Object[]>} cues as the files have them, of the saved text. */
export const cues = async (id, layout = {}) => (await request("GET", at(id, `/cues${query(layout)}`))).cues;

/** @returns {string} the address of a file, such as "srt", with what it should have. */
export const exportAddress = (id, format, wanted = {}) => addressOf(at(id, `/export/${format}${query(wanted)}`));

/** @returns {Promise<string[]>} what that file cannot hold of the transcript. */
export async function exportWarnings(id, format, layout = {}) {
  const response = await send("HEAD", at(id, `/export/${format}${query(layout)}`));
  return JSON.parse(response.headers.get("x-warnings") ?? "[]");
}

/**
 * @typedef {{possible: boolean, kept: Object<string, {name: string, state: "working"|"done"|"failed", message: string}>}} Voices
 *   `possible`: whether the server keeps voices; `kept`: what was asked, by speaker.
 */

/** @returns {Promise<Array<{name: string, samples: number, seconds: number, added: string}>>} the voices that are kept, of any transcript. */
export const knownVoices = async () => (await request("GET", "voices")).voices;
export const forgetVoice = (name) => request("DELETE", `voices/${encodeURIComponent(name)}`);

/** @returns {Promise<Voices>} */
export const voicesOf = (id) => request("GET", at(id, "/voices"));
/** @returns {Promise<Voices>} */
export const keepVoice = (id, speaker, name) => request("POST", at(id, "/voices"), { speaker, name });

/** @returns {Promise<Record>} */
export const makeVideo = (id, wanted) => request("POST", at(id, "/video"), wanted);
/** @returns {Promise<Record>} */
export const cancelVideo = (id) => request("DELETE", at(id, "/video"));
/** @returns {string} the address of the captioned video. */
export const videoAddress = (id) => addressOf(at(id, "/video"));
