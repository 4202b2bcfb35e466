// The transcript that is edited: its lines, its speakers, and what can be undone. Knows neither page nor server.

import { firstIndex } from "../binary_search.js";
import { History, NAMES } from "./history.js";
import { isUnspaced, MOST_CHARACTERS, MOST_WORDS, retime, textOf, tidy, withOthers } from "./word_times.js";

/**
 * @typedef {import("./word_times.js").Word} Word
 * @typedef {{id: string, start: number, end: number, speaker: string|null, words: Word[], revision: number}} Line
 *   never changed in place: an edit makes another.
 * @typedef {{ids: Set<string>, speakers: boolean, title: boolean, cause: "edit"|"undo"|"remote"}} Change
 */

const COLOURS = 8;

/** What the server takes of names (`api/page/edits.py`). */
export const MOST_NAME_CHARACTERS = 100;
export const MOST_TITLE_CHARACTERS = 200;

/** A line may go on behind the start of later ones, where people talk at once: this many are looked through. */
const OVERLAPPING = 16;

/** Fires "change" with a `Change` as detail. */
export class Document extends EventTarget {
  /** @type {Line[]} by start, then ID */ lines = [];
  /** @type {Map<string, string>} name of each speaker, "" if not named */ speakers = new Map();
  title = "";
  /** @type {string|null} */ language = null;
  history = new History();
  #byId = new Map();

  /**
   * @param {{lines: Line[], speakers: Object<string, string>, language?: string|null}} json as the server has it.
   * @param {string} title
   */
  static fromJson({ lines, speakers, language = null }, title = "") {
    const made = new Document();
    made.lines = [...lines].sort(byTime);
    made.#byId = new Map(lines.map((line) => [line.id, line]));
    made.speakers = new Map(Object.entries(speakers));
    for (const key of made.lines.flatMap(speakersOf)) if (!made.speakers.has(key)) made.speakers.set(key, "");
    made.language = language;
    made.title = title;
    return made;
  }

  /** @returns {Line|undefined} */
  get(id) {
    return this.#byId.get(id);
  }

  /** @returns {number} place of the line among the lines, -1 if there is none. */
  indexOf(id) {
    const line = this.#byId.get(id);
    return line ? this.#placeOf(line) : -1;
  }

  /** @returns {Line|undefined} */
  next(id) {
    const index = this.indexOf(id);
    return index < 0 ? undefined : this.lines[index + 1];
  }

  /** @returns {Line|undefined} */
  previous(id) {
    return this.lines[this.indexOf(id) - 1];
  }

  /** @returns {string} the line's text as people read it. */
  textOf(line) {
    return textOf(line.words);
  }

  /** @returns {string} a speaker's name: "Speaker 1" until somebody names them. */
  nameOf(key) {
    return this.speakers.get(key) || `Speaker ${[...this.speakers.keys()].indexOf(key) + 1}`;
  }

  /** @returns {number} 0 to 7, the number of the speaker's colour. */
  colourOf(key) {
    return Math.max(0, [...this.speakers.keys()].indexOf(key)) % COLOURS;
  }

  /** @returns {Line|null} the line that is spoken at a time in seconds: the one that began last. */
  lineAt(time) {
    const after = firstIndex(this.lines.length, (index) => this.lines[index].start > time);
    for (let index = after - 1; index >= Math.max(0, after - OVERLAPPING); index--) {
      if (time < this.lines[index].end) return this.lines[index];
    }
    return null;
  }

  /** @returns {{line: Line, index: number}|null} the word that is spoken at a time in seconds. */
  wordAt(time) {
    const line = this.lineAt(time);
    const index = line ? line.words.findLastIndex((word) => word[1] <= time && time < word[2]) : -1;
    return line && index >= 0 ? { line, index } : null;
  }

  /**
   * Replace a line's text; its words keep their times. A line without text is removed.
   *
   * @param {string} id
   * @param {string} text
   * @param {string|null} group edits of one group are one step to undo, and are compared with the line before the first.
   * @returns {boolean} false if the text is too long for one line.
   */
  editText(id, text, group = null) {
    const line = this.#byId.get(id);
    const last = this.history.past.at(-1);
    const before = group !== null && last?.group === group ? last.lines.find((change) => change.id === id)?.before : null;
    if (!line || tidy(text) === this.textOf(line)) return true;
    const words = this.#retimed(before ?? line, text);
    if (!isKeepable(words)) return false;
    this.#edit([[id, words.length ? { ...line, words } : null]], { group });
    return true;
  }

  /** Take back the edits of a group as if they had not been made. */
  cancel(group) {
    const step = this.history.drop(group);
    if (step) this.#apply(backwards(step), "undo");
  }

  /**
   * Split a line in front of a word.
   *
   * @returns {string|null} ID of the new line; null if one half would be empty.
   */
  split(id, wordIndex) {
    const line = this.#byId.get(id);
    if (!line || wordIndex <= 0 || wordIndex >= line.words.length) return null;
    const [words, rest] = [line.words.slice(0, wordIndex), line.words.slice(wordIndex)];
    const start = Math.max(line.start, rest[0][1]);
    const made = { ...line, id: this.#idAfter(line), start, words: rest };
    this.#edit([
      [id, { ...line, end: Math.min(start, Math.max(line.start, words.at(-1)[2])), words }],
      [made.id, made],
    ]);
    return made.id;
  }

  /**
   * Join a line with the next one, which gives up its speaker; who speaks at the same time stays.
   *
   * @returns {boolean} false if there is no next line, or both would be too long for one.
   */
  joinWithNext(id) {
    const line = this.#byId.get(id);
    const next = this.next(id);
    if (!line || !next) return false;
    const words = [...line.words, ...spacedAfter(line.words, next.words)];
    if (!isKeepable(words)) return false;
    const end = Math.max(line.end, next.end);
    this.#edit([
      [id, withOtherSpeakers({ ...line, end, words: inOrder(words, end) }, (key) => key)],
      [next.id, null],
    ]);
    return true;
  }

  /**
   * Another speaker says a line. Where this one was heard at the same time, the two change places.
   *
   * @param {string} id
   * @param {string|null} key
   */
  setSpeaker(id, key) {
    const line = this.#byId.get(id);
    if (!line || line.speaker === key) return;
    this.#edit([[id, withOtherSpeakers({ ...line, speaker: key }, (other) => (other === key ? line.speaker : other))]]);
  }

  renameSpeaker(key, typed) {
    const name = tidy(typed).slice(0, MOST_NAME_CHARACTERS);
    if (!this.speakers.has(key) || this.speakers.get(key) === name) return;
    this.#edit([], { speakers: new Map(this.speakers).set(key, name) });
  }

  /** All that one speaker says, another has said. */
  mergeSpeakers(from, into) {
    if (from === into || !this.speakers.has(from) || !this.speakers.has(into)) return;
    const speakers = new Map(this.speakers);
    speakers.delete(from);
    const lines = this.lines.filter((line) => speakersOf(line).includes(from));
    const renamed = (key) => (key === from ? into : key);
    this.#edit(lines.map((line) => [line.id, withOtherSpeakers({ ...line, speaker: renamed(line.speaker) }, renamed)]), { speakers });
  }

  /** @returns {string} key of a new speaker. */
  addSpeaker(typed = "") {
    const name = tidy(typed).slice(0, MOST_NAME_CHARACTERS);
    let number = this.speakers.size;
    const keyOf = () => `SPEAKER_${String(number).padStart(2, "0")}`;
    while (this.speakers.has(keyOf())) number += 1;
    this.#edit([], { speakers: new Map(this.speakers).set(keyOf(), name) });
    return keyOf();
  }

  /**
   * Replace the text of many lines in one step.
   *
   * @param {{id: string, text: string}[]} matches the whole new text of each line; one too long for a line is left out.
   */
  replaceAll(matches) {
    const lines = matches.filter(({ id }) => this.#byId.has(id)).flatMap(({ id, text }) => {
      const line = this.#byId.get(id);
      const words = this.#retimed(line, text);
      return isKeepable(words) ? [[id, words.length ? { ...line, words } : null]] : [];
    });
    if (lines.length) this.#edit(lines);
  }

  remove(id) {
    if (this.#byId.has(id)) this.#edit([[id, null]]);
  }

  rename(typed) {
    const title = tidy(typed).slice(0, MOST_TITLE_CHARACTERS);
    if (title && title !== this.title) this.#edit([], { title });
  }

  /** Say that a word is right: it counts as no longer doubtful. */
  confirmWord(id, index) {
    const line = this.#byId.get(id);
    if (!line?.words[index]) return;
    const words = line.words.with(index, line.words[index].with(3, null));
    this.#edit([[id, { ...line, words }]]);
  }

  /** @returns {Line|null} the line as it was before the first of the steps that can be undone; null if unchanged. */
  originalOf(id) {
    for (const step of this.history.past) {
      const change = step.lines.find((one) => one.id === id);
      if (change) return isSame(change.before, this.#byId.get(id)) ? null : change.before;
    }
    return null;
  }

  /** Put a line's words, times and speaker back to what they were before it was changed. */
  restore(id) {
    const original = this.originalOf(id);
    if (original) this.#edit([[id, original]]);
  }

  get canUndo() {
    return this.history.past.length > 0;
  }

  get canRedo() {
    return this.history.future.length > 0;
  }

  undo() {
    const step = this.history.back();
    if (step) this.#apply(backwards(step), "undo");
    return step;
  }

  redo() {
    const step = this.history.forward();
    if (step) this.#apply(step, "undo");
    return step;
  }

  /**
   * Take over what changed elsewhere. It is no step to undo; steps that it overtakes are forgotten.
   *
   * @param {{lines?: Line[], deleted?: string[], speakers?: Object<string, string>, title?: string}} changes
   */
  merge({ lines = [], deleted = [], speakers, title }) {
    const changes = [...lines.map((line) => [line.id, line]), ...deleted.map((id) => [id, null])];
    const step = this.#step(changes, { speakers: speakers && new Map(Object.entries(speakers)), title });
    step.lines = step.lines.filter(({ before, after }) => !isSame(before, after));
    if (!step.lines.length && !step.names) return;
    this.history.forget([...step.lines.map((change) => change.id), ...(step.names ? [NAMES] : [])]);
    this.#apply(step, "remote");
  }

  #edit(lines, { speakers, title, group = null } = {}) {
    const step = { ...this.#step(lines, { speakers, title }), group };
    this.history.add(step);
    this.#apply(step, "edit");
  }

  /** @returns {import("./history.js").Step} */
  #step(lines, { speakers = this.speakers, title = this.title }) {
    const before = { title: this.title, speakers: [...this.speakers] };
    const after = { title, speakers: [...speakers] };
    return {
      lines: lines.map(([id, line]) => ({ id, before: this.#byId.get(id) ?? null, after: line })),
      names: JSON.stringify(before) === JSON.stringify(after) ? null : { before, after },
      group: null,
    };
  }

  #apply({ lines, names }, cause) {
    for (const { id, after } of lines) this.#put(id, after);
    const speakers = names !== null && JSON.stringify(names.before.speakers) !== JSON.stringify(names.after.speakers);
    const title = names !== null && names.before.title !== names.after.title;
    if (speakers) this.speakers = new Map(names.after.speakers);
    if (title) this.title = names.after.title;
    const detail = { ids: new Set(lines.map((change) => change.id)), speakers, title, cause };
    this.dispatchEvent(new CustomEvent("change", { detail }));
  }

  #put(id, line) {
    const old = this.#byId.get(id);
    if (old) this.lines.splice(this.#placeOf(old), 1);
    this.#byId.delete(id);
    if (!line) return;
    this.#byId.set(id, line);
    this.lines.splice(this.#placeOf(line), 0, line);
  }

  /** Where a line stands, or would. */
  #placeOf(line) {
    return firstIndex(this.lines.length, (index) => byTime(this.lines[index], line) >= 0);
  }

  #retimed(line, text) {
    return retime(line.words, text, { start: line.start, end: line.end, language: this.language });
  }

  #idAfter({ id }) {
    const base = id.split(".")[0];
    for (;;) {
      const made = `${base}.${Math.random().toString(36).slice(2, 8).padEnd(6, "0")}`;
      if (!this.#byId.has(made)) return made;
    }
  }
}

/** Lines in the order they are spoken. */
const byTime = (one, other) => one.start - other.start || (one.id < other.id ? -1 : Number(one.id > other.id));

/** Whether two lines say the same at the same time, whatever their revision. */
export function isSame(one, other) {
  return contentOf(one) === contentOf(other);
}

/** Keys of those who speak in a line, some of them several times. */
const speakersOf = ({ speaker, words }) => [...(speaker ? [speaker] : []), ...words.flatMap((word) => word[4] ?? [])];

/** The line with other keys of those who speak at the same time: each once, and not the line's own speaker. */
function withOtherSpeakers(line, rename) {
  const others = (word) => [...new Set(word[4].map(rename))].filter((key) => key && key !== line.speaker);
  return { ...line, words: line.words.map((word) => (word[4] ? withOthers(word, others(word)) : word)) };
}

const isKeepable = (words) => words.length <= MOST_WORDS && textOf(words).length <= MOST_CHARACTERS;

/** What a line says and when, as text to compare; "" if there is no line. */
export const contentOf = (line) => (line ? JSON.stringify([line.start, line.end, line.speaker, line.words]) : "");

const backwards = ({ lines, names, group }) => ({
  lines: lines.map(({ id, before, after }) => ({ id, before: after, after: before })),
  names: names && { before: names.after, after: names.before },
  group,
});

/** Words that follow others in one line, set off by a space where their language has spaces. */
function spacedAfter(words, following) {
  if (!words.length || !following.length) return following;
  const [text, ...times] = following[0];
  const together = text.startsWith(" ") || (isUnspaced(words.at(-1)[0]) && isUnspaced(text.slice(0, 2)));
  return together ? following : [[" " + text, ...times], ...following.slice(1)];
}

/** Words of people who talked at once, so that none begins before the one in front of it. */
function inOrder(words, lineEnd) {
  let last = 0;
  return words.map(([text, start, end, ...rest]) => {
    const from = Math.min(lineEnd, Math.max(last, start));
    last = from;
    return [text, from, Math.min(lineEnd, Math.max(from, end)), ...rest];
  });
}
