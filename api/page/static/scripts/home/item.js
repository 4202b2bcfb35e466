// One row of the list: a transcript, a recording on its way, or one that was left over in the browser.

import { element, icon } from "../dom.js";
import { formatClock, formatDuration, formatMoment, formatSize } from "../text/clock.js";
import { formatCount } from "../text/counts.js";
import { languageName } from "../text/languages.js";
import { describeFailure } from "../text/problems.js";
import { isLost } from "./intake.js";

const STAGES = {
  "": "Starting", downloading: "Downloading the recording", "decoding the audio": "Reading the recording", transcribing: "Transcribing",
  "telling speakers apart": "Identifying speakers", captioning: "Adding captions to the video", mixing: "Mixing the tracks",
};

/**
 * What a row shows.
 *
 * @typedef {{key: string, title: string, href: string|null, icon: string, tone: "idle"|"working"|"done"|"failed"|"attention",
 *   facts: string[], status: string, fraction: number|null|undefined, preview: string,
 *   problem: {title: string, remedy: string}|null, actions: Array<{label: string, icon: string, name: string, isMain?: boolean}>}} Row
 *   `fraction`: of the bar; null where nobody knows, undefined for no bar.
 */

/**
 * @param {import("../server/transcripts.js").Record} record
 * @param {boolean} [isUnsaved] whether the server does not have all corrections.
 * @returns {Row}
 */
export function rowOfRecord(record, isUnsaved = false) {
  const { id, title, state, fraction, seconds_left: left, stage, preview } = record;
  const row = { key: id, title, href: `#/t/${encodeURIComponent(id)}`, icon: iconOf(record), tone: "idle", facts: factsOf(record), status: "", fraction: undefined, preview: "", problem: null, actions: [] };
  const cancel = { label: "Cancel", icon: "close", name: "cancel", isMain: true };
  const retry = { label: "Try again", icon: "retry", name: "retry", isMain: true };
  const remove = { label: "Delete", icon: "trash", name: "remove" };
  switch (state) {
    case "live":
      return { ...row, tone: "working", status: "Live: the microphone is being heard", fraction: null, actions: [{ ...cancel, label: "Stop", icon: "stop" }] };
    case "waiting":
      return { ...row, tone: "working", status: "Waiting for its turn", fraction: 0, actions: [cancel] };
    case "working":
      return { ...row, tone: "working", status: describeProgress(STAGES[stage] ?? sentence(stage), fraction, left), fraction, actions: [cancel] };
    case "failed": {
      const problem = describeFailure(record);
      const change = { label: "Use the form's options", icon: "retry", name: "change", isMain: true };
      const again = { options: [change], recording: [] }[problem.needs] ?? [retry];
      return { ...row, tone: "failed", problem, actions: [...again, remove] };
    }
    case "cancelled":
      return { ...row, status: "Cancelled", actions: [retry, remove] };
    default:
      if (isUnsaved) return { ...row, tone: "attention", status: "Some corrections are not saved yet. Open the transcript to save them.", actions: [remove] };
      return { ...row, tone: "done", preview: preview || "No speech was found in this recording.", actions: [remove] };
  }
}

const iconOf = ({ source, media }) => (source.kind === "microphone" ? "microphone" : media?.kind === "video" ? "video" : source.kind === "url" ? "link" : "file");

function factsOf({ created, duration, language, speakers, edited, state }) {
  const count = Object.keys(speakers).length;
  return [
    formatMoment(created), duration && formatClock(duration), state === "done" && languageName(language),
    count > 1 && formatCount(count, "speaker"), edited && "Edited",
  ].filter(Boolean);
}

/**
 * @param {import("./intake.js").Item} item
 * @returns {Row}
 */
export function rowOfItem(item) {
  const { key, title, size, state, fraction, secondsLeft, isWaiting, problem, url, parts } = item;
  const row = { key, title, href: null, icon: size ? "upload" : "link", tone: "working", facts: [size ? formatSize(size) : "", url].filter(Boolean), status: "", fraction, preview: "", problem: null, actions: [{ label: "Cancel", icon: "close", name: "cancel", isMain: true }] };
  switch (state) {
    case "queued":
      return { ...row, status: "Waiting to be uploaded" };
    case "uploading":
      if (!size) return { ...row, status: "Starting", fraction: null };
      return { ...row, status: isWaiting ? "Waiting for the server. The upload then continues by itself." : describeProgress("Uploading", fraction, secondsLeft) };
    case "interrupted":
      return {
        ...row, tone: "attention", status: `Stopped at ${Math.floor(fraction * 100)}% when the page was closed or reloaded. ${describeMissing(parts)} to continue there.`,
        actions: [{ label: parts.length > 1 ? "Choose the files" : "Choose the file", icon: "file", name: "choose", isMain: true }, { label: "Discard", icon: "trash", name: "cancel" }],
      };
    default: {
      const retry = { label: "Try again", icon: "retry", name: "retry", isMain: true };
      const remove = { label: "Remove", icon: "trash", name: "cancel" };
      return { ...row, tone: "failed", problem, fraction: undefined, actions: problem.needs === "recording" ? [remove] : [retry, remove] };
    }
  }
}

function describeMissing(parts) {
  const missing = parts.filter(isLost).map(({ name }) => name);
  return parts.length > 1 ? `Choose the same files again (${missing.join(", ")})` : "Choose the same file again";
}

/**
 * @param {import("./recordings.js").Recording & {title: string}} recording
 * @returns {Row}
 */
export const rowOfRecording = ({ id, started, seconds, title }) => ({
  key: id, title, href: null, icon: "microphone", tone: "attention", facts: [formatMoment(started / 1000), formatClock(seconds)],
  status: "Not transcribed yet. It is kept in this browser only.", fraction: undefined, preview: "", problem: null,
  actions: [
    { label: "Transcribe", icon: "play", name: "transcribe", isMain: true }, { label: "Save as a file", icon: "download", name: "save" },
    { label: "Delete", icon: "trash", name: "discard" },
  ],
});

function describeProgress(what, fraction, secondsLeft) {
  const left = secondsLeft === null || secondsLeft === undefined ? "" : `, about ${formatDuration(secondsLeft)} left`;
  return `${what}: ${Math.floor(fraction * 100)}%${left}`;
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * @param {(name: string, key: string) => void} act told which of the row's actions was chosen.
 * @returns {{body: HTMLElement, show: (row: Row) => void}} `show` changes only what is different: the focus stays.
 */
export function buildItem(act) {
  let shown = "";
  let current = null;
  const mark = element("span", { class: "item-mark", "aria-hidden": "true" });
  const title = element("h2", { class: "item-title clip" });
  const facts = element("p", { class: "item-facts muted small clip" });
  const bar = element("progress", { max: 1 });
  const detail = element("p", { class: "item-detail" });
  const actions = element("div", { class: "item-actions" });
  const body = element("li", { class: "item" }, mark, element("div", { class: "item-text" }, title, facts, detail, bar), actions);

  const drawActions = (row) => actions.replaceChildren(...row.actions.map(({ label, icon: name, name: action, isMain }) =>
    element("button", {
      type: "button", class: isMain ? "quiet" : "quiet icon-button", "aria-label": `${label}: ${row.title}`, title: label,
      onclick: () => act(action, current.key),
    }, icon(name), isMain && element("span", { class: "item-label" }, label))));

  return {
    body,
    show(row) {
      const kind = JSON.stringify([row.title, row.href, row.icon, row.tone, row.actions]);
      current = row;
      if (kind !== shown) {
        shown = kind;
        body.dataset.tone = row.tone;
        mark.replaceChildren(icon(row.tone === "failed" ? "alert" : row.icon));
        title.replaceChildren(row.href ? element("a", { href: row.href }, row.title) : row.title);
        drawActions(row);
      }
      setText(facts, row.facts.join(" · "));
      setText(detail, row.problem ? `${row.problem.title} ${row.problem.remedy}` : row.status || row.preview);
      detail.classList.toggle("clip", row.tone !== "failed" && row.tone !== "attention");
      detail.classList.toggle("muted", !row.problem);
      bar.hidden = row.fraction === undefined;
      bar.setAttribute("aria-label", `Progress of ${row.title}`);
      if (row.fraction === null) bar.removeAttribute("value");
      else bar.value = row.fraction ?? 0;
    },
  };
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
