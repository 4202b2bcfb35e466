// One line as a row of the list: when, who, what, and what can be done with it.

import { element, iconButton, menu } from "../dom.js";
import { formatClock } from "../text/clock.js";
import { editLine } from "./line_edit.js";

export class LineRow {
  #spokenWord = null;
  #speaks = false;
  #editor = null;
  #position = "";

  /**
   * @param {string} id
   * @param {import("./lines.js").LineList} list
   */
  constructor(id, list) {
    this.id = id;
    this.list = list;
    this.time = element("button", { type: "button", class: "line-time", tabindex: "-1", onclick: () => list.actions.playLine(id) });
    this.who = element("span", { class: "line-who" });
    this.text = element("p", { class: "line-text", dir: "auto" });
    this.tools = element("span", { class: "line-tools" });
    this.notice = element("div", { class: "line-notice", hidden: true });
    this.root = element("li", { class: "line", "data-line": id, tabindex: "-1" }, this.time, this.who, this.text, this.tools, this.notice);
    if (list.actions.edit) this.#addTools();
    this.setCurrent(list.current === id);
    this.update();
  }

  get line() {
    return this.list.document.get(this.id);
  }

  /** Whether somebody is typing here: the row stays, wherever the list is scrolled to. */
  get isBusy() {
    return this.#editor !== null;
  }

  /** Who speaks during a word beside the line's speaker, as a tooltip. */
  #othersOf(word) {
    const names = (word[4] ?? []).map((key) => this.list.document.nameOf(key));
    return names.length ? `At the same time: ${names.join(", ")}` : "";
  }

  /** Draw the line as it is now. What is being typed is left alone. */
  update() {
    const { line, list } = this;
    this.time.textContent = formatClock(line.start);
    this.time.setAttribute("aria-label", `Play from ${formatClock(line.start)}`);
    this.#drawSpeaker();
    if (!this.#editor) {
      this.text.replaceChildren(...line.words.flatMap((word, index) => wordNodes(word, index, list.isMarked(word[3]), this.#othersOf(word))));
      this.#spokenWord = null;
    }
    list.actions.drawNotice?.(this);
    this.edit?.setAttribute("aria-label", `Edit ${formatClock(line.start)}`);
    this.more?.setAttribute("aria-label", `More for ${formatClock(line.start)}`);
  }

  /** Put the row at its place. */
  place(top, position, total) {
    const place = `${top} ${position} ${total}`;
    if (this.#position === place) return;
    this.#position = place;
    this.root.style.setProperty("transform", `translateY(${top}px)`);
    this.root.setAttribute("aria-posinset", String(position));
    this.root.setAttribute("aria-setsize", total);
  }

  setCurrent(isCurrent) {
    this.root.tabIndex = isCurrent ? 0 : -1;
    for (const button of this.root.querySelectorAll(":scope > button, :scope > span > button")) button.tabIndex = isCurrent ? 0 : -1;
    this.root.classList.toggle("current", isCurrent);
  }

  /**
   * Mark the word that is spoken.
   *
   * @param {number|null} index of the word; -1: a pause in the line; null: another line is spoken.
   */
  speak(index) {
    if (this.#speaks !== (index !== null)) {
      this.#speaks = index !== null;
      this.root.classList.toggle("spoken-line", this.#speaks);
    }
    const word = index === null || index < 0 || this.#editor ? null : this.text.children[index];
    if (word === this.#spokenWord) return;
    this.#spokenWord?.classList.remove("spoken");
    word?.classList.add("spoken");
    this.#spokenWord = word;
  }

  /**
   * Let somebody type here.
   *
   * @param {{start: number, end: number}|null} selection of characters; null: the cursor at the end.
   */
  beginEdit(selection) {
    if (this.#editor) return;
    this.#editor = editLine(this, selection, () => this.#endEdit());
    this.root.classList.add("editing");
    this.list.remeasure(this.id);
  }

  /** Keep what was typed, and stop typing. */
  finishEdit() {
    this.#editor?.finish();
  }

  #endEdit() {
    this.#editor = null;
    this.root.classList.remove("editing");
    if (!this.line) return;
    this.update();
    this.list.remeasure(this.id);
  }

  #addTools() {
    const { actions } = this.list;
    this.edit = iconButton("Edit", "edit", () => actions.edit(this.id));
    this.more = menu(iconButton("More", "more"), () => actions.menuOf(this.id));
    this.tools.append(this.edit, this.more);
    this.text.addEventListener("click", (event) => this.#click(event));
    this.text.addEventListener("dblclick", (event) => this.#doubleClick(event));
  }

  #drawSpeaker() {
    const { document: transcript, actions } = this.list;
    const { speaker } = this.line;
    this.root.classList.toggle("no-speakers", transcript.speakers.size === 0);
    const name = speaker === null ? "No speaker" : transcript.nameOf(speaker);
    if (transcript.speakers.size === 0) {
      this.who.replaceChildren();
      this.button = null;
      return;
    }
    if (!this.button) {
      this.button = element(actions.speakersOf ? "button" : "span", { type: actions.speakersOf && "button", class: "speaker clip", tabindex: actions.speakersOf && this.root.tabIndex });
      if (actions.speakersOf) menu(this.button, () => actions.speakersOf(this.id));
      this.who.replaceChildren(this.button);
    }
    this.button.textContent = name;
    this.button.dataset.colour = speaker === null ? "none" : String(transcript.colourOf(speaker));
    if (actions.speakersOf) this.button.setAttribute("aria-label", `Speaker: ${name}`);
  }

  #click(event) {
    const span = event.target.closest(".word");
    if (!span || event.detail > 1 || !getSelection().isCollapsed) return;
    this.list.actions.playWord(this.id, Number(span.dataset.index));
  }

  #doubleClick(event) {
    const span = event.target.closest(".word");
    this.list.actions.unplay();
    this.list.actions.edit(this.id, span ? Number(span.dataset.index) : null);
  }
}

/** A word of a given text that was not said has the probability 0. */
function markOf(probability, isMarked) {
  if (probability === 0) return { class: "word not-said", title: "Not said in the recording" };
  if (!isMarked) return { class: "word" };
  const percent = `${Math.round(100 * probability)}%`;
  return { class: "word unsure", title: `Unsure: ${percent}`, "data-sure": percent };
}

/** The space before a word is none of it: it is neither marked nor pressed. */
function wordNodes([text, , , probability], index, isMarked, others) {
  const bare = text.trimStart();
  const { title, ...mark } = markOf(probability, isMarked);
  const span = element("span", { "data-index": index, ...mark, title: [title, others].filter(Boolean).join(". ") || null }, bare);
  return index > 0 && bare.length < text.length ? [" ", span] : [span];
}
