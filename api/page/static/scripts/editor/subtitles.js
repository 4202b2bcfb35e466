// The subtitles view: the cues as they will be in the files, over the picture and in a list where they are edited.

import { announce, element, toast } from "../dom.js";
import { cues as askForCues } from "../server/transcripts.js";
import { formatCount } from "../text/counts.js";
import { describeProblem } from "../text/problems.js";
import { isOverAny, measureCue } from "./cue_limits.js";
import { CueList } from "./cue_list.js";
import { editLines, partsOfCues } from "./cue_parts.js";
import { cueRow, editCue } from "./cue_row.js";
import { styleForm } from "./subtitle_form.js";
import { indexAfter, SubtitleStage } from "./subtitle_stage.js";
import { keepStyle, layoutOf, limitsOf, styleOf } from "./subtitle_style.js";

const MARGIN_S = 60; // around what was edited: farther away, the layout stays as it is
const LONGEST_PART_S = 1200;
const PAUSE_MS = 400; // after the last change, before the cues are laid out again

const ALL = { from: 0, to: Infinity };

/**
 * Show the subtitles of a transcript.
 *
 * @param {HTMLElement} host
 * @param {{record: object, document: import("../model/document.js").Document,
 *   playback: import("./playback.js").Playback, saver: import("../model/saver.js").Saver}} parts of the open transcript.
 * @returns {{unmount: () => void}}
 */
export function mountSubtitles(host, parts) {
  const view = new Subtitles(parts);
  host.append(view.root);
  view.start();
  return { unmount: () => view.close() };
}

class Subtitles {
  #cues = [];
  #parts = [];
  #nextStarts = [];
  #faults = [];
  #lastFault = -1;
  #current = -1;
  #edited = -1;
  #isBehind = true;
  /** @type {{from: number, to: number}|null} what has to be laid out anew, in seconds; null: nothing */
  #dirty = ALL;
  #asked = 0;
  #timer = 0;
  #ended = new AbortController();

  constructor({ record, document: transcript, playback, saver }) {
    Object.assign(this, { record, transcript, playback, saver });
    this.style = styleOf(record);
    this.stage = new SubtitleStage(playback);
    this.list = new CueList("Subtitles", (index) => this.#row(index));
    this.summary = element("p", { class: "subtitles-summary", role: "status" });
    this.next = element("button", { type: "button", hidden: true, onclick: () => this.#revealNextFault() }, "Next problem");
    this.root = element("div", { class: "subtitles" },
      element("div", { class: "subtitles-side" }, this.stage.root, this.#form()),
      element("div", { class: "subtitles-main" },
        element("div", { class: "row subtitles-head" }, this.summary, element("span", { class: "spacer" }), this.next),
        this.list.root));
  }

  start() {
    const { signal } = this.#ended;
    this.playback.addEventListener("time", () => this.#follow(), { signal });
    this.transcript.addEventListener("change", ({ detail }) => this.#note(detail), { signal });
    this.saver.addEventListener("status", () => this.#refreshOnceSaved(), { signal });
    this.#refresh();
  }

  close() {
    this.#ended.abort();
    clearTimeout(this.#timer);
    this.stage.close();
    this.list.close();
    this.root.remove();
  }

  // The cues

  #form() {
    const hasSpeakers = this.transcript.lines.some(({ speaker }) => speaker !== null);
    return styleForm(this.style, hasSpeakers, (style) => this.#restyle(style));
  }

  #restyle(style) {
    this.style = style;
    keepStyle(this.record, style);
    this.#dirty = ALL;
    this.#refreshSoon();
  }

  // The layout of hours takes seconds, that of the minutes around an edit does not.
  #note({ ids, speakers }) {
    const lines = [...ids].map((id) => this.transcript.get(id));
    const isPart = !speakers && lines.length > 0 && lines.every(Boolean) && this.#cues.length > 0;
    this.#dirty = isPart ? lines.reduce(widen, this.#dirty) : ALL;
    this.#refreshSoon();
  }

  #refreshSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refresh(), PAUSE_MS);
  }

  #refreshOnceSaved() {
    if (this.saver.status === "saved" && this.#isBehind) this.#refreshSoon();
  }

  async #refresh() {
    const number = ++this.#asked;
    this.#isBehind = true;
    const isStale = () => number !== this.#asked || this.#ended.signal.aborted;
    try {
      // The server lays out what is saved; when that takes long, the saver's "status" asks again.
      if (!(await this.saver.flush())) return;
      const { from, to } = this.#dirty ?? ALL;
      const isPart = to - from <= LONGEST_PART_S;
      if (!isPart) this.summary.textContent = "Preparing the subtitles…";
      const cues = await askForCues(this.record.id, { ...layoutOf(this.style), ...(isPart ? { from, to } : {}) });
      if (!isStale()) this.#take(isPart ? replacePart(this.#cues, cues, from, to) : cues);
    } catch (error) {
      if (!isStale()) this.summary.textContent = describeProblem(error).title;
    }
  }

  #take(cues) {
    if (this.#edited >= 0) return; // what is being typed stays; the end of it asks again
    this.#isBehind = false;
    this.#dirty = null;
    this.#cues = cues;
    this.#parts = partsOfCues(cues, (id) => this.#textOf(id));
    this.#nextStarts = nextStartsOf(cues);
    this.#faults = cues.flatMap((cue, index) => (isOverAny(measureCue(cue, this.#nextStarts[index], limitsOf(this.style))) ? [index] : []));
    this.#current = -1;
    this.list.reset(cues.length);
    this.stage.cues = cues;
    this.#summarize();
    this.#follow();
  }

  #textOf(id) {
    const line = this.transcript.get(id);
    return line ? this.transcript.textOf(line) : "";
  }

  #summarize() {
    const faults = this.#faults.length;
    const count = formatCount(this.#cues.length, "subtitle");
    const isLimited = Object.keys(limitsOf(this.style)).length > 0;
    this.summary.textContent = isLimited ? `${count}, ${faults ? faults.toLocaleString("en") : "none"} outside the limits` : count;
    this.next.hidden = faults === 0;
  }

  // The list

  #row(index) {
    const cue = this.#cues[index];
    const row = cueRow(cue, {
      ...this.#around(index),
      onPlay: () => this.playback.play(cue.start),
      onEdit: () => this.#edit(index),
    });
    row.classList.toggle("cue-current", index === this.#current);
    return row;
  }

  #around(index) {
    return { nextStart: this.#nextStarts[index], limits: limitsOf(this.style) };
  }

  #revealNextFault() {
    const focused = this.#faults.indexOf(this.#lastFault);
    this.#lastFault = this.#faults[(focused + 1) % this.#faults.length];
    this.list.reveal(this.#lastFault);
    this.list.row(this.#lastFault)?.querySelector(".cue-text")?.focus();
  }

  #follow() {
    const after = indexAfter(this.#cues, this.playback.time);
    const current = after > 0 && this.playback.time < this.#cues[after - 1].end ? after - 1 : -1;
    this.stage.draw();
    if (current === this.#current) return;
    this.list.row(this.#current)?.classList.remove("cue-current");
    this.#current = current;
    this.list.row(current)?.classList.add("cue-current");
    if (this.playback.playing && current >= 0 && this.#edited < 0) this.list.reveal(current);
  }

  // Editing

  #edit(index) {
    const cue = this.#cues[index];
    this.playback.pause();
    this.playback.seek(cue.start);
    this.#edited = index;
    editCue(this.list.row(index), cue, {
      ...this.#around(index),
      onType: (typed) => { this.stage.cues = this.#cues.with(index, typed); },
      onDone: (text) => this.#keep(index, text),
    });
  }

  #keep(index, text) {
    this.#edited = -1;
    const cue = this.#cues[index];
    const lines = text === null ? new Map() : editLines(this.#parts[index], (id) => this.#textOf(id), cue.lines.join("\n"), text);
    if (lines === null) toast("This text was changed elsewhere meanwhile. It was not changed here.");
    else if (lines.size) this.transcript.replaceAll([...lines].map(([id, line]) => ({ id, text: line })));
    this.stage.cues = this.#cues;
    const hadFocus = this.list.row(index)?.contains(document.activeElement) || document.activeElement === document.body;
    this.list.renew(index);
    if (hadFocus) this.list.row(index)?.querySelector(".cue-text")?.focus();
    if (lines?.size) announce("Text changed");
    this.#refreshSoon();
  }
}

function widen(part, { start, end }) {
  const [from, to] = [Math.max(0, start - MARGIN_S), end + MARGIN_S];
  return part ? { from: Math.min(part.from, from), to: Math.max(part.to, to) } : { from, to };
}

function replacePart(cues, part, from, to) {
  const isInside = ({ start }) => start >= from && start < to;
  const before = cues.filter(({ start }) => start < from);
  return [...before, ...part.filter(isInside), ...cues.filter(({ start }) => start >= to)];
}

// When the next cue of the same voice starts; those of others may overlap. Null after the last.
function nextStartsOf(cues) {
  const starts = new Map();
  return cues.toReversed().map(({ voice, start }) => {
    const next = starts.get(voice) ?? null;
    starts.set(voice, start);
    return next;
  }).reverse();
}
