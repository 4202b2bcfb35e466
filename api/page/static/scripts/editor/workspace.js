// A finished transcript as it is worked on: puts the parts together, and gives the commands of keys and buttons.

import { announce, element, icon, iconButton, menu, openDialog, toast } from "../dom.js";
import { Document, MOST_TITLE_CHARACTERS } from "../model/document.js";
import { Saver } from "../model/saver.js";
import { findUnsaved } from "../model/unsaved.js";
import { subscribe } from "../server/events.js";
import { records } from "../server/records.js";
import * as transcripts from "../server/transcripts.js";
import { formatCount } from "../text/counts.js";
import { describeProblem, describeWarning } from "../text/problems.js";
import { isMarked } from "./confidence.js";
import { copyButton, copyLineLink } from "./copy.js";
import { exportButton } from "./export_menu.js";
import { KEYS, listenForKeys, singleKeys } from "./keys.js";
import { openKeysSheet } from "./keys_sheet.js";
import { TOO_LONG_TO_JOIN, wordSpans } from "./line_edit.js";
import { LineList } from "./lines.js";
import { SidePanel } from "./panel.js";
import { Playback } from "./playback.js";
import { buildPlayer, SKIP_S } from "./player.js";
import { mountPrint } from "./print.js";
import { buildSaveStatus, drawConflict } from "./save_status.js";
import { mountSubtitles } from "./subtitles.js";
import { undoToast } from "./undo_toast.js";
import { mountWaveform } from "./waveform.js";

const SPEAKERS_BY_KEY = 9;
const NOT_SAVED = "Your last corrections are not saved yet. This browser keeps them and tries again.";

/**
 * @param {HTMLElement} host
 * @param {{record: transcripts.Record, line?: string}} parts
 * @returns {Promise<{unmount: () => Promise<void>, update: (record: transcripts.Record) => void,
 *   showLine: (id: string) => void, shown: () => void}>}
 */
export async function mountWorkspace(host, { record, line }) {
  const [json, unsaved] = await Promise.all([transcripts.documentOf(record.id), findUnsaved(record.id)]);
  const workspace = new Workspace(record, json, unsaved);
  host.append(workspace.root);
  return {
    unmount: () => workspace.close(),
    update: (now) => workspace.update(now),
    showLine: (id) => workspace.list.show(id, { focus: true, place: 0.3 }),
    shown: () => workspace.shown(line),
  };
}

class Workspace {
  #ended = new AbortController();
  #mounted = [];
  #subtitles = null;
  #wasPlaying = false; // before the first press of a double click, which plays the word

  constructor(record, json, unsaved) {
    this.record = record;
    this.document = Document.fromJson(json, record.title);
    this.saver = new Saver({ id: record.id, document: this.document, revision: json.revision, server: transcripts, unsaved });
    this.playback = new Playback(record);
    this.commands = this.#buildCommands();
    this.list = new LineList({ document: this.document, playback: this.playback, actions: this.#buildActions(), isMarked });
    this.panel = new SidePanel({ record: this.record, document: this.document, list: this.list, playback: this.playback }, () => this.#closeSubtitles());
    this.#build();
    this.#listen();
  }

  shown(line) {
    this.waveform = mountWaveform(this.waveformHost, this.#parts);
    this.list.refresh();
    if (line) this.list.show(line, { focus: true, place: 0.3 });
  }

  update(record) {
    Object.assign(this.record, record, { title: this.document.title });
  }

  async close() {
    this.#closeSubtitles();
    this.list.rowOf(this.list.current)?.finishEdit();
    if (!(await this.saver.close())) toast(NOT_SAVED);
    this.#ended.abort();
    this.panel.close();
    this.waveform?.unmount();
    for (const part of this.#mounted) part.unmount();
    this.list.unmount();
    this.playback.close();
    this.root.remove();
  }

  get #parts() {
    return { record: this.record, document: this.document, playback: this.playback, saver: this.saver };
  }

  // What is seen

  #build() {
    const player = buildPlayer(this);
    const status = buildSaveStatus(this);
    this.print = mountPrint(this.#parts);
    const exports = exportButton(this.#parts);
    this.#mounted.push(player, status, this.print, exports);
    this.waveformHost = element("div", { class: "waveform-host" });
    this.subtitlesHost = element("div", { class: "subtitles-host", hidden: true });
    this.stage = element("div", { class: "editor-stage", hidden: true }, this.playback.element);
    this.jump = element("button", { type: "button", class: "jump", hidden: true, onclick: () => this.commands.showSpoken() }, icon("speaker"), "Go to the line that is playing");
    this.root = element("div", { class: "editor" },
      this.#buildHead(status.root, exports.root),
      this.#buildNotes(),
      element("div", { class: "editor-player" }, this.waveformHost, player.root),
      this.stage,
      element("div", { class: "editor-lines" }, this.#buildEmpty(), this.list.root, this.jump),
      this.panel.root, this.subtitlesHost);
  }

  #buildHead(status, exports) {
    this.title = element("input", { class: "title-field", type: "text", "aria-label": "Title", maxlength: MOST_TITLE_CHARACTERS, dir: "auto", autocomplete: "off", value: this.document.title,
      onchange: () => this.document.rename(this.title.value),
      onblur: () => { this.title.value = this.document.title; },
      onkeydown: (event) => { if (event.key === "Enter" && !event.isComposing) this.title.blur(); } });
    this.undoButton = iconButton("Undo", "undo", () => this.commands.undo());
    this.redoButton = iconButton("Redo", "redo", () => this.commands.redo());
    this.subtitlesButton = element("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => this.#toggleSubtitles() }, icon("subtitles"), element("span", { class: "tool-label" }, "Subtitles"));
    const more = menu(iconButton("More", "more"), () => this.#menuItems());
    return element("div", { class: "editor-head" },
      element("div", { class: "editor-name" },
        element("a", { class: "button quiet icon-button", href: "#/", "aria-label": "All transcripts", title: "All transcripts" }, icon("back")),
        element("h1", { class: "visually-hidden" }, "Transcript"), this.title, status),
      element("div", { class: "editor-tools", role: "toolbar", "aria-label": "Transcript tools" },
        this.undoButton, this.redoButton, this.panel.buttons, this.subtitlesButton, copyButton(this.#parts), exports, more));
  }

  #buildNotes() {
    const { warnings } = this.record;
    if (!warnings.length) return element("div", { class: "editor-notes", hidden: true });
    return element("details", { class: "editor-notes" },
      element("summary", {}, icon("chevron", "turns"), `${formatCount(warnings.length, "note")} about this transcript`),
      element("ul", {}, warnings.map((warning) => element("li", {}, describeWarning(warning)))));
  }

  #buildEmpty() {
    this.empty = element("div", { class: "empty", hidden: true }, icon("microphone"),
      element("h2", {}, "No speech was found"),
      element("p", {}, "Play the recording to check that somebody speaks. If so, try again with its language chosen, or with a larger model."),
      element("button", { type: "button", onclick: () => this.#transcribeAgain() }, icon("retry"), "Transcribe again"));
    return this.empty;
  }

  #menuItems() {
    return [
      { label: "Print", icon: "print", run: () => this.print.print() },
      { label: "Keyboard shortcuts", icon: "keyboard", keys: "?", run: () => this.commands.help() },
      { label: singleKeys.on ? "Turn off one-key shortcuts" : "Turn on one-key shortcuts", icon: "settings", run: () => { singleKeys.on = !singleKeys.on; } },
      { label: "Transcribe again", icon: "retry", run: () => this.#transcribeAgain() },
    ];
  }

  #draw() {
    const { canUndo, canRedo, lines, title } = this.document;
    this.undoButton.disabled = !canUndo;
    this.redoButton.disabled = !canRedo;
    this.empty.hidden = lines.length > 0;
    this.list.root.hidden = lines.length === 0;
    if (document.activeElement !== this.title) this.title.value = title;
  }

  #drawPlayback() {
    const { condition, hasPicture } = this.playback;
    this.stage.hidden = !hasPicture || condition !== "ready";
    this.root.classList.toggle("with-stage", !this.stage.hidden);
    this.root.classList.toggle("without-media", condition === "unavailable");
    this.jump.hidden = !this.playback.playing || this.list.isFollowing;
  }

  // What happens

  #listen() {
    const { signal } = this.#ended;
    this.document.addEventListener("change", () => this.#draw(), { signal });
    this.playback.addEventListener("state", () => this.#drawPlayback(), { signal });
    this.list.addEventListener("follow", () => this.#drawPlayback(), { signal });
    this.saver.addEventListener("conflicts", () => this.list.refresh(), { signal });
    listenForKeys(this.commands, signal);
    const mine = (id, revision, editor) => id === this.record.id && editor !== this.saver.editor && revision > this.saver.synced;
    const ends = [
      subscribe("edited", ({ id, revision, editor }) => { if (mine(id, revision, editor)) this.saver.pull(); }),
      subscribe("hello", () => { this.saver.pull(); this.saver.flush(); }), // events may have been missed
    ];
    signal.addEventListener("abort", () => { for (const end of ends) end(); });
    this.#draw();
    this.#drawPlayback();
  }

  #buildCommands() {
    const current = () => this.document.get(this.list.current);
    const withLine = (run) => () => { if (current()) run(current()); };
    const focused = () => (this.list.root.contains(document.activeElement) ? current() : undefined);
    const spoken = () => this.document.lineAt(this.playback.time) ?? current();
    return {
      toggle: () => { if (!this.playback.playing) this.list.follow(true); this.playback.toggle(); },
      back: () => this.playback.skip(-SKIP_S),
      ahead: () => this.playback.skip(SKIP_S),
      slower: () => this.#changeRate(-1),
      faster: () => this.#changeRate(1),
      playLine: withLine((line) => this.playback.play(line.start)),
      loop: () => this.#loop(focused() ?? spoken()),
      showSpoken: () => { this.list.follow(true); this.list.showSpoken(); },
      join: withLine((line) => this.#join(line.id)),
      remove: () => (focused() ? this.#remove(focused().id) : false), // on another button the key means nothing
      review: () => this.panel.toggle("review"),
      confirm: () => this.panel.open?.confirm?.() ?? false,
      undo: () => this.#tell(this.document.undo(), "Undone", "Nothing to undo"),
      redo: () => this.#tell(this.document.redo(), "Redone", "Nothing to redo"),
      find: () => this.panel.show("find"),
      save: () => { this.list.rowOf(this.list.current)?.finishEdit(); this.saver.flush(); },
      help: () => { openKeysSheet(KEYS); },
    };
  }

  #buildActions() {
    return {
      playLine: (id) => this.#play(this.document.get(id).start),
      unplay: () => { if (!this.#wasPlaying) this.playback.pause(); },
      playWord: (id, index) => this.#play(this.document.get(id).words[index][1]),
      edit: (id, index = null) => this.#edit(id, (line) => (index === null ? null : wordSpans(line.words)[index])),
      editAt: (id, character) => this.#edit(id, () => ({ start: character, end: character })),
      remove: (id) => this.#remove(id),
      menuOf: (id) => this.#lineItems(id),
      speakersOf: (id) => this.#speakerItems(id),
      speakerByNumber: (id, number) => {
        const key = [...this.document.speakers.keys()][number - 1];
        if (key !== undefined && singleKeys.on) this.#setSpeaker(id, key);
      },
      drawNotice: (row) => drawConflict(row, this.saver),
    };
  }

  #play(time) {
    this.#wasPlaying = this.playback.playing;
    this.list.follow(true);
    this.playback.play(time);
  }

  #edit(id, selectionOf) {
    this.list.focus(id);
    const row = this.list.show(id);
    if (row) row.beginEdit(selectionOf(this.document.get(id)));
  }

  #remove(id) {
    const next = this.document.next(id) ?? this.document.previous(id);
    this.document.remove(id);
    if (next) this.list.focus(next.id);
    undoToast(this.document, "Line deleted");
  }

  #join(id) {
    if (!this.document.next(id)) announce("There is no line to join with");
    else if (!this.document.joinWithNext(id)) toast(TOO_LONG_TO_JOIN);
  }

  #lineItems(id) {
    const { document: transcript } = this;
    const line = transcript.get(id);
    return [
      { label: "Repeat", icon: "loop", keys: "R", run: () => this.#loop(line) },
      { label: "Join with next", icon: "join", keys: "M", disabled: !transcript.next(id), run: () => this.#join(id) },
      { label: "Restore the line", icon: "undo", disabled: transcript.originalOf(id) === null, run: () => transcript.restore(id) },
      { label: "Copy a link to the line", icon: "link", run: () => copyLineLink(this.record, id) },
      { label: "Delete", icon: "trash", danger: true, run: () => this.#remove(id) },
    ];
  }

  #speakerItems(id) {
    const { document: transcript } = this;
    const { speaker } = transcript.get(id);
    const keys = [...transcript.speakers.keys()];
    const items = keys.map((key, index) => ({
      label: transcript.nameOf(key), checked: key === speaker, keys: index < SPEAKERS_BY_KEY ? String(index + 1) : undefined,
      run: () => this.#setSpeaker(id, key),
    }));
    return [...items, { label: "New speaker", icon: "plus", run: () => this.#setSpeaker(id, transcript.addSpeaker()) }];
  }

  #setSpeaker(id, key) {
    this.document.setSpeaker(id, key);
    announce(`Speaker: ${this.document.nameOf(key)}`);
  }

  #loop(line) {
    if (this.playback.looped) this.playback.stopLoop();
    else if (line) this.playback.loop(line.start, line.end);
  }

  #changeRate(steps) {
    this.playback.changeRate(steps);
    announce(`Speed ${this.playback.rate}`);
  }

  #tell(step, done, nothing) {
    announce(step ? done : nothing);
    const id = step?.lines[0]?.id;
    if (id && this.document.get(id)) this.list.show(id);
  }

  async #transcribeAgain() {
    const text = "The new text will replace this one and all your corrections.";
    if ((await openDialog("Transcribe again?", element("p", {}, text), [{ label: "Cancel", value: "" }, { label: "Transcribe again", value: "yes", kind: "danger" }])) !== "yes") return;
    try {
      records.put(await transcripts.retry(this.record.id));
    } catch (error) {
      toast(describeProblem(error).title);
    }
  }

  #toggleSubtitles() {
    if (this.#subtitles) this.#closeSubtitles();
    else {
      this.panel.close();
      this.root.classList.add("in-subtitles");
      this.subtitlesHost.hidden = false;
      this.#subtitles = mountSubtitles(this.subtitlesHost, this.#parts);
      this.subtitlesButton.setAttribute("aria-pressed", "true");
    }
  }

  #closeSubtitles() {
    if (!this.#subtitles) return;
    this.#subtitles.unmount();
    this.#subtitles = null;
    this.root.classList.remove("in-subtitles");
    this.subtitlesHost.hidden = true;
    this.subtitlesButton.setAttribute("aria-pressed", "false");
    this.list.refresh();
  }
}
