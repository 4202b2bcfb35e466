// Corrections that the server does not have yet. They are kept in the browser, where a closed tab and a crash lose
// none of them, until they are saved.

import { browserStore } from "../storage.js";

const PREFIX = "unsaved ";
const nameOf = (id, editor) => `${PREFIX}${id} ${editor}`;
const lockOf = (editor) => `worker-whisper-editor ${editor}`;

/** @type {Map<string, Object>} what the browser has no room for: it is lost with the tab */
const inTab = new Map();
addEventListener("beforeunload", (event) => { if (inTab.size) event.preventDefault(); });

/** Fires "change" when something is kept, or has been saved; for other tabs too. */
export const unsavedChanges = new EventTarget();
const tell = () => unsavedChanges.dispatchEvent(new Event("change"));
addEventListener("storage", ({ key }) => { if (key?.startsWith(PREFIX)) tell(); });

/** @typedef {{name: string, edits: Object}} Kept `edits` as `transcripts.edit` takes them. */

/**
 * @param {string} id of the transcript.
 * @param {string} editor who made them: one for each time that a transcript is opened.
 * @param {Object|null} edits all of this editor's; null: the server has them.
 */
export function keepUnsaved(id, editor, edits) {
  const name = nameOf(id, editor);
  inTab.delete(name);
  if (!browserStore.set(name, edits) && edits) inTab.set(name, edits);
  tell();
}

/**
 * Say that an editor is open: what it keeps is its own.
 *
 * @param {string} editor
 * @returns {() => void} ends it.
 */
export function holdEditor(editor) {
  let release = () => {};
  navigator.locks?.request(lockOf(editor), () => new Promise((end) => { release = end; })).catch(() => {});
  return () => release();
}

/**
 * @param {string} id of a transcript.
 * @returns {Promise<Kept[]>} what editors of it that are no longer open have kept.
 */
export async function findUnsaved(id) {
  const names = unsavedNames().filter((name) => name.startsWith(nameOf(id, "")));
  if (!names.length) return [];
  // Plain HTTP from another machine has no locks; what another tab has there is sent by both.
  const { held = [], pending = [] } = (await navigator.locks?.query()) ?? {};
  const open = new Set([...held, ...pending].map((lock) => lock.name));
  const isLeft = (name) => !open.has(lockOf(name.split(" ")[2]));
  return names.filter(isLeft).map((name) => ({ name, edits: inTab.get(name) ?? browserStore.get(name) })).filter(({ edits }) => edits);
}

/** @param {Kept} kept which another editor keeps now. */
export function dropUnsaved({ name }) {
  inTab.delete(name);
  browserStore.set(name, null);
  tell();
}

/** @returns {Set<string>} IDs of the transcripts with corrections that are not saved. */
export const unsavedTranscripts = () => new Set(unsavedNames().map((name) => name.split(" ")[1]));

/** Forget all of a transcript that is deleted. @param {string} id */
export function forgetUnsaved(id) {
  for (const name of unsavedNames()) if (name.startsWith(nameOf(id, ""))) dropUnsaved({ name });
}

const unsavedNames = () => [...new Set([...inTab.keys(), ...browserStore.names()])].filter((name) => name.startsWith(PREFIX));
