// The picture with its subtitles, in time with the playback; sound alone gets a black picture.

import { firstIndex } from "../binary_search.js";
import { element } from "../dom.js";

/**
 * @typedef {{start: number, end: number, lines: string[], voice: string, line_ids: string[]}} Cue times in seconds.
 */

/** The picture, with the cues of the moment laid over it. */
export class SubtitleStage {
  #cues = [];
  #shown = "";
  #home;

  /** @param {import("./playback.js").Playback} playback */
  constructor(playback) {
    this.playback = playback;
    this.text = element("div", { class: "stage-text" });
    this.root = element("div", { class: "stage" }, this.text);
    const { element: media } = playback;
    if (media instanceof HTMLVideoElement) {
      this.#home = { parent: media.parentNode, next: media.nextSibling };
      this.root.prepend(media); // a medium that is moved in one step plays on
    }
    this.root.addEventListener("click", () => playback.toggle());
  }

  /** @param {Cue[]} cues by their start. */
  set cues(cues) {
    this.#cues = cues;
    this.draw();
  }

  /** Show what belongs to the moment. */
  draw() {
    const cues = cuesAt(this.#cues, this.playback.time);
    const look = JSON.stringify(cues);
    if (look === this.#shown) return;
    this.#shown = look;
    this.text.replaceChildren(...cues.map(({ lines, voice }) =>
      element("p", { class: "stage-cue", dir: "auto" }, lines.map((line, at) =>
        element("span", { class: "stage-line" }, at === 0 && voice ? `${voice}: ${line}` : line)))));
  }

  /** Give the video back to where it was. */
  close() {
    if (this.#home?.parent) this.#home.parent.insertBefore(this.playback.element, this.#home.next);
    this.root.remove();
  }
}

/** A cue may begin long before the moment, but not behind this many others: they follow each other, voice by voice. */
const OVERLAPPING = 16;

/**
 * The cues that are on the screen at a time.
 *
 * @param {Cue[]} cues by their start.
 * @param {number} time in seconds.
 * @returns {Cue[]}
 */
function cuesAt(cues, time) {
  const after = indexAfter(cues, time);
  return cues.slice(Math.max(0, after - OVERLAPPING), after).filter(({ end }) => time < end);
}

/**
 * The number of cues that have begun by a time.
 *
 * @param {Cue[]} cues by their start.
 * @param {number} time in seconds.
 * @returns {number}
 */
export function indexAfter(cues, time) {
  return firstIndex(cues.length, (index) => cues[index].start > time);
}
