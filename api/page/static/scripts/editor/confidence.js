// Words that the model was not sure of: which these are, and going through them one by one.

import { announce, element, icon } from "../dom.js";
import { browserStore } from "../storage.js";
import { formatCount } from "../text/counts.js";

const THRESHOLD = "unsure-below";
const FIRST_THRESHOLD = 50;
const MARKS = "mark-unsure";

/** Seconds before a word at which playing it starts. */
const LEAD_S = 1;

/** @returns {number} the probability below which a word is unsure, 0 to 1. */
export function threshold() {
  const stored = browserStore.get(THRESHOLD) ?? FIRST_THRESHOLD;
  return (stored >= 0 && stored <= 100 ? stored : FIRST_THRESHOLD) / 100;
}

/** @param {number|null} probability null: nobody knows, or a person wrote it. */
const isUnsure = (probability) => probability !== null && probability < threshold();

const areMarked = () => browserStore.get(MARKS) !== false;

/**
 * Whether a word is marked in the text.
 *
 * @param {number|null} probability of the word.
 */
export const isMarked = (probability) => areMarked() && isUnsure(probability);

/**
 * The panel in which unsure words are gone through; while it is open, Tab and Shift+Tab do so.
 *
 * @param {HTMLElement} host
 * @param {{document: import("../model/document.js").Document, list: import("./lines.js").LineList,
 *   playback: import("./playback.js").Playback, close: () => void}} parts
 * @returns {{unmount: () => void, focus: () => void, confirm: () => void}}
 */
export function mountReview(host, { document: transcript, list, playback, close }) {
  const ended = new AbortController();
  let at = null; // {id, index} of the word that is looked at

  const summary = element("p", { role: "status" });
  const value = element("output", { class: "small" });
  const slider = element("input", { type: "range", min: "5", max: "95", step: "5", value: Math.round(threshold() * 100), oninput: () => {
    browserStore.set(THRESHOLD, Number(slider.value));
    list.refresh();
    draw();
  } });
  const marks = element("input", { type: "checkbox", checked: areMarked(), onchange: () => {
    browserStore.set(MARKS, marks.checked);
    list.refresh();
  } });
  const button = (label, run, name) => element("button", { type: "button", onclick: run }, name && icon(name), label);
  const previous = button("Previous", () => go(-1));
  const next = button("Next", () => go(1));
  const right = button("Word is right", () => confirm(), "check");
  const hear = button("Play", () => play(), "play");
  host.append(element("div", { class: "stack" },
    element("label", { class: "field" }, element("span", { class: "field-label" }, "Unsure below"), slider, value),
    element("label", { class: "check" }, marks, "Mark them in the text"),
    summary,
    element("div", { class: "row" }, previous, next),
    element("div", { class: "row" }, hear, right),
    element("p", { class: "muted small keys-hint" }, "Tab and Shift+Tab go through the words, Enter edits one, Y says that it is right. Esc ends the review.")));

  function words() {
    const found = [];
    for (const line of transcript.lines) {
      line.words.forEach((word, index) => { if (isUnsure(word[3])) found.push({ id: line.id, index }); });
    }
    return found;
  }

  function draw() {
    const number = words().length;
    value.textContent = `${slider.value}%`;
    slider.setAttribute("aria-valuetext", `${slider.value} percent sure`);
    summary.textContent = number === 0 ? "No unsure words" : formatCount(number, "unsure word");
    for (const one of [previous, next]) one.disabled = number === 0;
    for (const one of [right, hear]) one.disabled = wordAt() === null;
  }

  function wordAt() {
    return at && (transcript.get(at.id)?.words[at.index] ?? null);
  }

  /** Go to the next unsure word after the one looked at, or after the current line's start; round at the end. */
  function go(direction) {
    const all = words();
    if (!all.length) return;
    const from = at ?? { id: list.current, index: direction > 0 ? -1 : Infinity };
    const place = (word) => [transcript.indexOf(word.id), word.index];
    const [line, index] = place(from);
    const isAfter = (word) => { const [l, i] = place(word); return l > line || (l === line && i > index); };
    const isBefore = (word) => { const [l, i] = place(word); return l < line || (l === line && i < index); };
    const found = direction > 0 ? (all.find(isAfter) ?? all[0]) : (all.findLast(isBefore) ?? all.at(-1));
    look(found);
  }

  function look(word) {
    list.rowOf(at?.id)?.text.children[at.index]?.classList.remove("looked-at");
    at = word;
    list.follow(false);
    const row = list.show(word.id, { place: 0.4 });
    const span = row?.text.children[word.index];
    if (!span) return;
    span.classList.add("looked-at");
    span.tabIndex = -1;
    span.focus({ preventScroll: true });
    if (!playback.playing) playback.seek(transcript.get(word.id).words[word.index][1]);
    const text = transcript.get(word.id).words[word.index][0].trim();
    announce(`${text}: ${transcript.textOf(transcript.get(word.id))}`);
    draw();
  }

  function confirm() {
    if (wordAt() === null) return;
    const { id, index } = at;
    transcript.confirmWord(id, index);
    go(1);
  }

  function play() {
    if (wordAt()) playback.play(Math.max(0, wordAt()[1] - LEAD_S));
  }

  function keys(event) {
    if (document.querySelector("dialog[open], .menu:popover-open") || event.ctrlKey || event.metaKey || event.altKey) return;
    const isInLines = list.root.contains(event.target) || event.target === document.body;
    const isWord = event.target.classList?.contains("looked-at");
    if (event.key === "Tab" && isInLines) {
      const row = list.rowOf(list.current);
      if (row?.isBusy) row.finishEdit();
      go(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape" && isInLines && !list.rowOf(list.current)?.isBusy) {
      list.focus(list.current);
      close();
    } else if (event.key === "Enter" && isWord) list.actions.edit(at.id, at.index);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  document.addEventListener("keydown", keys, { signal: ended.signal, capture: true });
  transcript.addEventListener("change", draw, { signal: ended.signal });
  draw();
  return { unmount: () => ended.abort(), focus: () => go(1), confirm };
}
