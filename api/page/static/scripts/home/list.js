// The list of transcripts, with what is on its way to become one.

import { announce, element, icon, openDialog, toast } from "../dom.js";
import { unsavedChanges, unsavedTranscripts } from "../model/unsaved.js";
import { records } from "../server/records.js";
import * as transcripts from "../server/transcripts.js";
import { describeProblem } from "../text/problems.js";
import { intake } from "./intake.js";
import { buildItem, rowOfItem, rowOfRecord, rowOfRecording } from "./item.js";
import { notificationSwitch } from "./notifications.js";
import { lockOf, openRecordings } from "./recordings.js";

/**
 * @param {() => Object<string, any>|null} readOptions of the form; null if a field is wrong, which it then shows.
 * @param {() => void} chooseFile lets a file be chosen, for an upload that was interrupted.
 * @param {{voices: boolean}} known whether the server keeps voices.
 * @returns {{body: HTMLElement, refresh: () => void, unmount: () => void}} `refresh` looks for left-over recordings.
 */
export function transcriptList(readOptions, chooseFile, known) {
  const items = new Map();
  let leftOver = [];
  let isDrawing = false;
  const search = element("input", { type: "search", placeholder: "Search titles", "aria-label": "Search titles", oninput: draw });
  const searchBox = element("div", { class: "search" }, icon("search"), search);
  const list = element("ul", { class: "list", "aria-label": "Transcripts" });
  const empty = element("div", { class: "empty" }, icon("subtitles"), element("h2", {}, "Your transcripts will appear here"),
    element("p", { class: "muted" }, "Choose a recording, or drop some anywhere on this page. You can close the page while they are being transcribed."));
  const nothing = element("p", { class: "muted nothing" });
  const body = element("section", { class: "transcripts", "aria-label": "Transcripts" },
    element("div", { class: "list-head" }, element("h1", {}, "Transcripts"), element("span", { class: "spacer" }), known.voices && voicesButton(), notificationSwitch(), searchBox), empty, nothing, list);

  function rows() {
    const unsaved = unsavedTranscripts();
    const all = [...leftOver.map(rowOfRecording), ...intake.items.map(rowOfItem), ...records.all.map((record) => rowOfRecord(record, unsaved.has(record.id)))];
    const wanted = search.value.trim().toLocaleLowerCase();
    return { count: all.length, found: all.filter(({ title }) => title.toLocaleLowerCase().includes(wanted)) };
  }

  function draw() {
    isDrawing = false;
    const { count, found } = rows();
    for (const row of found) {
      if (!items.has(row.key)) items.set(row.key, buildItem(act));
      items.get(row.key).show(row);
    }
    const wanted = new Set(found.map(({ key }) => key));
    for (const [key, { body: one }] of items) if (!wanted.has(key)) { one.remove(); items.delete(key); }
    for (const [index, { key }] of found.entries()) {
      const one = items.get(key).body;
      if (list.children[index] !== one) list.insertBefore(one, list.children[index] ?? null);
    }
    empty.hidden = count > 0;
    searchBox.hidden = count === 0;
    nothing.hidden = count === 0 || found.length > 0;
    nothing.textContent = `No title contains “${search.value.trim()}”.`;
  }

  function drawSoon() {
    if (isDrawing) return;
    isDrawing = true;
    // Not a frame: a tab in the background has none.
    setTimeout(draw, 0);
  }

  async function refresh() {
    const recordings = navigator.locks ? await (await openRecordings()).leftOver() : [];
    leftOver = await Promise.all(recordings.map(async (one) => ({ ...one, title: (await (await openRecordings()).toFile(one)).name.replace(/\.\w+$/, "") })));
    drawSoon();
  }

  const ACTIONS = {
    cancel,
    retry: (key) => (records.get(key) ? transcripts.retry(key).then((record) => records.put(record)) : intake.retry(key)),
    change: retryWithForm,
    remove: (key) => remove(records.get(key)),
    choose: chooseFile,
    transcribe: (key) => transcribe(leftOver.find(({ id }) => id === key)),
    save: (key) => saveAsFile(leftOver.find(({ id }) => id === key)),
    discard: (key) => discard(leftOver.find(({ id }) => id === key)),
  };

  async function act(name, key) {
    try {
      await ACTIONS[name](key);
    } catch (error) {
      const { title, remedy } = describeProblem(error);
      toast(`${title} ${remedy}`);
    }
  }

  async function cancel(key) {
    if (records.get(key)) {
      records.put(await transcripts.cancel(key));
    } else {
      intake.cancel(key);
      await refresh(); // it may have been a recording, which is kept
    }
  }

  async function retryWithForm(key) {
    const options = readOptions();
    if (options) records.put(await transcripts.retry(key, options));
  }

  async function remove(record) {
    const lost = record.edited ? "The recording, its transcript and your corrections will be deleted." : "The recording and its transcript will be deleted.";
    if (!(await confirmDelete(record.title, lost))) return;
    await transcripts.remove(record.id);
    records.drop(record.id);
    announce("Deleted");
    if (search.isConnected && !searchBox.hidden) search.focus();
  }

  async function transcribe(recording) {
    const options = readOptions();
    if (!options) return;
    // Held from now on: no other tab offers it meanwhile.
    const release = await new Promise((resolve) => {
      navigator.locks.request(lockOf(recording.id), () => new Promise((done) => resolve(done)));
    });
    const file = await (await openRecordings()).toFile(recording);
    leftOver = leftOver.filter((other) => other !== recording);
    intake.addFiles([file], options, { id: recording.id, release });
  }

  async function saveAsFile(recording) {
    const file = await (await openRecordings()).toFile(recording);
    const address = URL.createObjectURL(file);
    element("a", { href: address, download: file.name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }

  async function discard(recording) {
    if (!(await confirmDelete(recording.title, "The recording will be deleted. It exists in this browser only."))) return;
    await (await openRecordings()).remove(recording.id);
    await refresh();
  }

  records.addEventListener("change", drawSoon);
  intake.addEventListener("change", drawSoon);
  unsavedChanges.addEventListener("change", drawSoon);
  draw();
  refresh().catch(() => {}); // a browser without a database has no recordings
  return {
    body,
    refresh,
    unmount() {
      records.removeEventListener("change", drawSoon);
      intake.removeEventListener("change", drawSoon);
      unsavedChanges.removeEventListener("change", drawSoon);
    },
  };
}

const confirmDelete = async (title, text) =>
  (await openDialog(`Delete “${title}”?`, element("p", {}, text), [{ label: "Cancel", value: "" }, { label: "Delete", value: "delete", kind: "danger" }])) === "delete";

function voicesButton() {
  const show = async () => {
    const { showKnownVoices } = await import("../known_voices.js");
    await showKnownVoices();
  };
  return element("button", { type: "button", class: "quiet", onclick: show }, icon("voice"), "Known voices");
}
