// A list that scrolls, of which only the rows that are seen are in the page.

import { firstIndex } from "../binary_search.js";
import { element } from "../dom.js";

const BEYOND = 400; // pixels above and below what is seen
const FIRST_GUESS = 88;

/** Rows of any height in a box that scrolls. */
export class CueList {
  #count = 0;
  #heights = new Map(); // of rows that have been seen, by number
  #tops = [0];
  #rows = new Map();
  #frame = 0;
  #usual = FIRST_GUESS;

  /**
   * @param {string} label name of the list.
   * @param {(index: number) => HTMLElement} makeRow
   */
  constructor(label, makeRow) {
    this.makeRow = makeRow;
    this.list = element("div", { class: "cue-list-rows", role: "list", "aria-label": label });
    this.root = element("div", { class: "cue-list" }, this.list);
    this.root.addEventListener("scroll", () => this.#schedule(), { passive: true });
    this.sizes = new ResizeObserver(() => this.#draw());
    this.sizes.observe(this.root);
    this.heights = new ResizeObserver(() => this.#measure());
  }

  /** @param {number} count rows from now on; all of them are made anew, and the list stays where it is. */
  reset(count) {
    const first = this.#indexAt(this.root.scrollTop);
    const offset = this.root.scrollTop - (this.#tops[first] ?? 0);
    this.#count = count;
    this.#heights.clear();
    this.#rows.clear();
    this.heights.disconnect();
    this.list.replaceChildren();
    this.#layOut();
    this.root.scrollTop = this.#tops[Math.min(first, count)] + offset;
    this.#draw();
  }

  /** @returns {HTMLElement|undefined} the row, if it is in the page. */
  row(index) {
    return this.#rows.get(index)?.firstElementChild;
  }

  /** Make a row anew. */
  renew(index) {
    const item = this.#rows.get(index);
    if (!item) return;
    item.replaceChildren(this.makeRow(index));
  }

  /** Scroll until a row is seen. */
  reveal(index) {
    for (let pass = 0; pass < 3; pass++) { // heights become known on the way
      const { scrollTop, clientHeight } = this.root;
      const [top, bottom] = [this.#tops[index], this.#tops[index + 1]];
      if (top >= scrollTop && bottom <= scrollTop + clientHeight) return;
      this.root.scrollTop = top - clientHeight / 3;
      this.#draw();
    }
  }

  close() {
    this.sizes.disconnect();
    this.heights.disconnect();
    cancelAnimationFrame(this.#frame);
    this.root.remove();
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #layOut() {
    const known = [...this.#heights.values()];
    if (known.length) this.#usual = known.reduce((sum, height) => sum + height, 0) / known.length;
    this.#tops = [0];
    for (let index = 0; index < this.#count; index++) this.#tops[index + 1] = this.#tops[index] + (this.#heights.get(index) ?? this.#usual);
    this.list.style.setProperty("height", `${this.#tops[this.#count]}px`);
  }

  #draw() {
    const from = Math.max(0, this.#indexAt(this.root.scrollTop - BEYOND));
    const to = Math.min(this.#count, this.#indexAt(this.root.scrollTop + this.root.clientHeight + BEYOND) + 1);
    for (const [index, item] of this.#rows) {
      const isUsed = item.contains(document.activeElement);
      if ((index < from || index >= to) && !isUsed) {
        this.heights.unobserve(item);
        item.remove();
        this.#rows.delete(index);
      }
    }
    for (let index = from; index < to; index++) if (!this.#rows.has(index)) this.#add(index);
    this.#measure();
  }

  #add(index) {
    const item = element("div", { class: "cue-item", role: "listitem", "aria-setsize": this.#count, "aria-posinset": index + 1 }, this.makeRow(index));
    const after = [...this.#rows.keys()].filter((other) => other > index).sort((one, other) => one - other)[0];
    this.list.insertBefore(item, this.#rows.get(after) ?? null);
    this.#rows.set(index, item);
    this.heights.observe(item);
  }

  #measure() {
    let isNew = false;
    for (const [index, item] of this.#rows) {
      const height = item.offsetHeight;
      if (height && this.#heights.get(index) !== height) {
        this.#heights.set(index, height);
        isNew = true;
      }
    }
    if (isNew) this.#layOut();
    for (const [index, item] of this.#rows) item.style.setProperty("translate", `0 ${this.#tops[index]}px`);
  }

  #indexAt(top) {
    return firstIndex(this.#count, (index) => this.#tops[index + 1] > top);
  }
}
