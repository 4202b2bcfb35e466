// The lines on the page. Of thousands, only those near what is seen are in the DOM.

import { firstIndex } from "../binary_search.js";
import { element } from "../dom.js";
import { LineRow } from "./line_row.js";

/** Rows beyond the visible part, in pixels, so that scrolling never shows a gap. */
const MARGIN = 600;
const FIRST_GUESS = { row: 34, line: 25 };

/**
 * Fires "focus" when another line has become the current one, and "follow" when following the playing line starts or ends.
 */
export class LineList extends EventTarget {
  /** @type {string|null} the line that keys act on */ current = null;
  isFollowing = true;
  #rows = new Map();
  #heights = new Map();
  #tops = new Float64Array(1);
  #spoken = null;
  #frame = 0;
  #ended = new AbortController();

  /**
   * @param {{document: import("../model/document.js").Document, playback: import("./playback.js").Playback|null,
   *   actions: Object, isMarked: (probability: number|null) => boolean}} parts `actions`: what a row can ask for.
   */
  constructor(parts) {
    super();
    Object.assign(this, parts);
    this.list = element("ol", { class: "lines", "aria-label": "Transcript" });
    this.root = element("div", { class: "lines-scroller", tabindex: "-1" }, this.list);
    const { signal } = this.#ended;
    this.root.addEventListener("scroll", () => this.#schedule(), { signal, passive: true });
    for (const name of ["wheel", "touchmove"]) this.root.addEventListener(name, () => this.follow(false), { signal, passive: true });
    this.list.addEventListener("keydown", (event) => this.#walk(event), { signal });
    this.list.addEventListener("focusin", (event) => this.#focused(event), { signal });
    this.document.addEventListener("change", ({ detail }) => this.#changed(detail), { signal });
    this.playback?.addEventListener("time", () => this.#speak(), { signal });
    this.sizes = new ResizeObserver(() => this.#resized());
    this.sizes.observe(this.root);
    this.#measure();
  }

  unmount() {
    this.#ended.abort();
    this.sizes.disconnect();
    cancelAnimationFrame(this.#frame);
    this.root.remove();
  }

  /** @returns {LineRow|undefined} the line's row, if it is in the DOM. */
  rowOf(id) {
    return this.#rows.get(id);
  }

  /**
   * Bring a line into sight.
   *
   * @param {string} id
   * @param {{focus?: boolean, place?: number}} how `place`: where in the visible part it comes to stand, 0 to 1; without
   *   it, it moves no more than is needed.
   * @returns {LineRow|undefined}
   */
  show(id, { focus = false, place } = {}) {
    const index = this.document.indexOf(id);
    if (index < 0) return undefined;
    // What comes into sight is measured then, which may move it again.
    for (let round = 0; round < 3; round++) {
      const [top, bottom] = [this.#tops[index], this.#tops[index + 1]];
      const height = this.root.clientHeight;
      const { scrollTop } = this.root;
      if (place !== undefined) this.root.scrollTop = top - (height - (bottom - top)) * place;
      else if (top < scrollTop) this.root.scrollTop = top;
      else if (bottom > scrollTop + height) this.root.scrollTop = bottom - height;
      this.#render();
      if (this.root.scrollTop === scrollTop) break;
    }
    if (focus) this.focus(id);
    return this.#rows.get(id);
  }

  /** Give a line the keyboard's focus. */
  focus(id) {
    this.#setCurrent(id);
    this.show(id)?.root.focus({ preventScroll: true });
  }

  /** @param {boolean} on whether the list scrolls along with what is spoken. */
  follow(on) {
    if (this.isFollowing === on) return;
    this.isFollowing = on;
    this.dispatchEvent(new Event("follow"));
    if (on) this.showSpoken();
  }

  showSpoken() {
    const line = this.playback && this.document.lineAt(this.playback.time);
    if (line) this.show(line.id, { place: 0.3 });
  }

  /** Draw all rows anew, as when another word counts as unsure. */
  refresh() {
    for (const [id, row] of this.#rows) {
      if (!this.document.get(id)) continue;
      row.update();
      this.#heights.delete(id);
    }
    this.#render();
  }

  // Changes

  #changed({ ids, speakers }) {
    const anchor = this.#anchor();
    const wasFocused = this.current !== null && this.#rows.get(this.current)?.root.contains(document.activeElement);
    for (const id of ids) this.#heights.delete(id);
    for (const [id, row] of this.#rows) {
      if (!this.document.get(id)) this.#drop(id);
      else if (ids.has(id) || speakers) row.update();
    }
    if (this.current !== null && !this.document.get(this.current)) this.#setCurrent(this.#nearest(anchor));
    this.#measure();
    this.#restore(anchor);
    this.#render();
    if (wasFocused && this.current !== null && !this.list.contains(document.activeElement)) this.focus(this.current);
  }

  /** The line at the place of one that is gone. */
  #nearest(anchor) {
    const { lines } = this.document;
    return lines[Math.min(lines.length - 1, Math.max(0, anchor?.index ?? 0))]?.id ?? null;
  }

  #resized() {
    const anchor = this.#anchor();
    if (this.width !== this.root.clientWidth) this.#heights.clear();
    this.width = this.root.clientWidth;
    this.#measure();
    this.#restore(anchor);
    this.#render();
  }

  // What is where

  /** The first line in sight, and how far it is scrolled: it stays there when the rows above it change. */
  #anchor() {
    const index = this.#indexAt(this.root.scrollTop);
    const line = this.#shown?.[index];
    return line ? { id: line.id, index, offset: this.root.scrollTop - this.#tops[index] } : null;
  }

  #restore(anchor) {
    if (!anchor) return;
    const index = this.document.indexOf(anchor.id);
    if (index >= 0) this.root.scrollTop = this.#tops[index] + anchor.offset;
  }

  #shown = null;

  /** Where each row begins: measured where it has been seen, else estimated. */
  #measure() {
    const { lines } = this.document;
    const perLine = Math.max(12, ((this.root.clientWidth || 800) - 180) / 7.5);
    this.#shown = lines.slice();
    this.#tops = new Float64Array(lines.length + 1);
    for (let index = 0; index < lines.length; index++) {
      const line = lines[index];
      const height = this.#heights.get(line.id) ?? FIRST_GUESS.row + FIRST_GUESS.line * Math.max(0, Math.ceil(lengthOf(line) / perLine) - 1);
      this.#tops[index + 1] = this.#tops[index] + height;
    }
    this.list.style.setProperty("height", `${this.#tops.at(-1)}px`);
  }

  #indexAt(y) {
    return Math.max(0, firstIndex(this.#tops.length - 1, (index) => this.#tops[index] > y) - 1);
  }

  // Rows

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  #render() {
    const { lines } = this.document;
    const first = Math.max(0, this.#indexAt(this.root.scrollTop - MARGIN));
    const last = Math.min(lines.length - 1, this.#indexAt(this.root.scrollTop + this.root.clientHeight + MARGIN));
    const wanted = new Set(lines.slice(first, last + 1).map((line) => line.id));
    for (const [id, row] of this.#rows) if (row.isBusy || row.root.contains(document.activeElement)) wanted.add(id);
    for (const id of this.#rows.keys()) if (!wanted.has(id)) this.#drop(id);
    const made = [];
    for (const id of wanted) if (!this.#rows.has(id)) made.push(this.#make(id));
    this.#order([...wanted], made.length > 0);
    this.#settle(made);
  }

  #make(id) {
    const row = new LineRow(id, this);
    this.#rows.set(id, row);
    return row;
  }

  #drop(id) {
    this.#rows.get(id)?.root.remove();
    this.#rows.delete(id);
    if (this.#spoken?.id === id) this.#spoken = null;
  }

  /** Rows stand in the DOM as in the transcript: for screen readers and for the Tab key. */
  #order(ids, isNew) {
    if (!isNew && this.#rows.size === this.list.childElementCount) return;
    const ordered = ids.sort((one, other) => this.document.indexOf(one) - this.document.indexOf(other));
    let place = this.list.firstElementChild;
    for (const id of ordered) {
      const { root } = this.#rows.get(id);
      if (root === place) place = place.nextElementSibling;
      else this.list.insertBefore(root, place);
    }
  }

  /** Measure new rows, and put all where they belong. */
  #settle(made) {
    const anchor = this.#anchor();
    let isMoved = false;
    for (const [id, row] of this.#rows) {
      if (this.#heights.has(id)) continue;
      const height = row.root.offsetHeight;
      if (!height) continue;
      this.#heights.set(id, height);
      isMoved = true;
    }
    if (isMoved) {
      this.#measure();
      this.#restore(anchor);
    }
    const total = String(this.document.lines.length);
    for (const [id, row] of this.#rows) row.place(this.#tops[this.document.indexOf(id)], this.document.indexOf(id) + 1, total);
    if (made.length) this.#speak();
    if (this.current === null && this.document.lines.length) this.#setCurrent(this.document.lines[0].id);
  }

  /** A row has another height than before, as when it is edited. */
  remeasure(id) {
    const anchor = this.#anchor();
    this.#heights.delete(id);
    const height = this.#rows.get(id)?.root.offsetHeight;
    if (height) this.#heights.set(id, height);
    this.#measure();
    this.#restore(anchor);
    this.#render();
  }

  // What is spoken

  #speak() {
    const isHeard = this.playback?.condition === "ready" && (this.playback.playing || this.playback.time > 0);
    const at = isHeard ? this.document.wordAt(this.playback.time) : null;
    const line = at?.line ?? (isHeard ? this.document.lineAt(this.playback.time) : null);
    if (this.#spoken?.id !== line?.id) {
      this.#rows.get(this.#spoken?.id)?.speak(null);
      if (line && this.isFollowing && this.playback.playing) this.#followTo(line.id);
    }
    this.#spoken = line ?? null;
    this.#rows.get(line?.id)?.speak(at ? at.index : -1);
  }

  #followTo(id) {
    const index = this.document.indexOf(id);
    const [top, bottom] = [this.#tops[index], this.#tops[index + 1]];
    const { scrollTop, clientHeight } = this.root;
    if (this.list.querySelector("textarea")) return; // nobody wants what they type to scroll away
    if (top < scrollTop || bottom > scrollTop + clientHeight * 0.8) this.show(id, { place: 0.2 });
  }

  // The keyboard

  #setCurrent(id) {
    if (this.current === id) return;
    const before = this.current;
    this.current = id;
    this.#rows.get(before)?.setCurrent(false);
    this.#rows.get(id)?.setCurrent(true);
    this.dispatchEvent(new Event("focus"));
  }

  #focused(event) {
    const row = event.target.closest("[data-line]");
    if (row) this.#setCurrent(row.dataset.line);
  }

  #walk(event) {
    if (event.target.dataset.line === undefined || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const { lines } = this.document;
    const index = this.document.indexOf(event.target.dataset.line);
    const page = Math.max(1, this.#indexAt(this.#tops[index] + this.root.clientHeight) - index - 1);
    const target = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: lines.length - 1, PageDown: index + page, PageUp: index - page }[event.key];
    if (target !== undefined) this.focus(lines[Math.min(lines.length - 1, Math.max(0, target))].id);
    else if (event.key === "Enter" || event.key === "F2") this.actions.edit(event.target.dataset.line);
    else if (/^[1-9]$/.test(event.key) && this.actions.speakerByNumber) this.actions.speakerByNumber(event.target.dataset.line, Number(event.key));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

const lengths = new WeakMap(); // lines are never changed in place

function lengthOf(line) {
  if (!lengths.has(line)) lengths.set(line, line.words.reduce((sum, word) => sum + word[0].length, 0));
  return lengths.get(line);
}
