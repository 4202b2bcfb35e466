// The waveform: the whole recording and the part around the playhead, with who speaks when. Click and drag seek.

import { element, iconButton } from "../dom.js";
import { formatClock } from "../text/clock.js";
import { loadPeaks } from "./peaks.js";
import { WaveformPicture } from "./waveform_picture.js";

const KEY_STEPS = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -60, PageUp: 60 };
const FIRST_SPAN = 120; // seconds that are shown of a long recording at first
const LEAST_SPAN = 5;
const ZOOM = 2;
const TURN_AT = 0.95; // the part of the span after which the next one is shown while playing

/**
 * Show the waveform of a transcript's recording.
 *
 * @param {HTMLElement} host
 * @param {{record: object, document: import("../model/document.js").Document,
 *   playback: import("./playback.js").Playback}} parts of the open transcript.
 * @returns {{unmount: () => void}}
 */
export function mountWaveform(host, { record, document: transcript, playback }) {
  const ended = new AbortController();
  const view = new Waveform(record, transcript, playback);
  host.append(view.root);
  view.listen(ended.signal);
  view.load(ended.signal);
  return {
    unmount() {
      ended.abort();
      view.stop();
      view.root.remove();
    },
  };
}

class Waveform {
  #peaks = null;
  #from = 0;
  #span = FIRST_SPAN;
  #drags = false;
  #frame = 0;
  #colours = new Map();

  constructor(record, transcript, playback) {
    Object.assign(this, { record, transcript, playback });
    this.detail = element("canvas", { class: "waveform-canvas", "aria-hidden": "true" });
    this.overview = element("canvas", { class: "waveform-overview", "aria-hidden": "true" });
    this.pointed = element("div", { class: "waveform-pointed", hidden: true, "aria-hidden": "true" });
    this.status = element("p", { class: "waveform-status" });
    this.slider = element("div", {
      class: "waveform-slider", role: "slider", tabindex: "0", "aria-label": "Position in the recording",
      "aria-valuemin": "0", "aria-valuenow": "0", "aria-valuemax": "0",
    }, this.detail, this.pointed);
    this.zoomIn = iconButton("Zoom in", "plus", () => this.#zoom(1 / ZOOM));
    this.zoomOut = iconButton("Zoom out", "minus", () => this.#zoom(ZOOM));
    this.root = element("div", { class: "waveform", role: "group", "aria-label": "Waveform" },
      element("div", { class: "waveform-pictures" }, this.slider, this.overview, this.status),
      element("div", { class: "waveform-tools" }, this.zoomIn, this.zoomOut));
    const source = {
      peaks: () => this.#peaks,
      bands: (from, to) => this.#bands(from, to),
      colour: (name) => this.#colour(name),
    };
    this.pictures = { detail: new WaveformPicture(this.detail, source), overview: new WaveformPicture(this.overview, source) };
  }

  get duration() {
    const lines = this.transcript.lines;
    return this.playback.duration || this.record.duration || this.#peaks?.duration || lines.at(-1)?.end || 0;
  }

  listen(signal) {
    const { slider, overview, playback, transcript } = this;
    const redraw = () => this.#schedule();
    const repaint = () => this.#repaint();
    playback.addEventListener("time", () => { this.#follow(); redraw(); }, { signal });
    playback.addEventListener("state", redraw, { signal });
    transcript.addEventListener("change", repaint, { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint, { signal });
    this.themes = new MutationObserver(repaint);
    this.themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    this.sizes = new ResizeObserver(redraw);
    this.sizes.observe(this.root);
    slider.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    slider.addEventListener("wheel", (event) => this.#onWheel(event), { signal, passive: false });
    slider.addEventListener("pointerleave", () => { this.pointed.hidden = true; }, { signal });
    slider.addEventListener("pointermove", (event) => this.#point(event), { signal });
    this.#seekByPointer(slider, () => [this.#from, this.#from + this.#shown], signal);
    this.#seekByPointer(overview, () => [0, this.duration], signal);
  }

  stop() {
    this.themes.disconnect();
    this.sizes.disconnect();
    cancelAnimationFrame(this.#frame);
  }

  async load(signal) {
    if (!this.record.media) {
      this.#say("No waveform: the recording stays at its address.");
      return;
    }
    this.#say("Preparing the waveform…");
    try {
      this.#peaks = await loadPeaks(this.record.id, signal, (fraction) =>
        this.#say(fraction > 0 ? `Preparing the waveform… ${Math.round(100 * fraction)}%` : "Preparing the waveform…"));
      this.#say("");
    } catch (error) {
      if (signal.aborted) return;
      this.#say(error.status ? "No waveform for this recording." : "The waveform could not be loaded. Reload the page to try again.");
    }
    this.#repaint();
  }

  #say(text) {
    this.status.textContent = text;
  }

  // What is seen

  get #shown() {
    return Math.min(this.#span, this.duration);
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #repaint() {
    this.#colours.clear();
    for (const picture of Object.values(this.pictures)) picture.invalidate();
    this.#schedule();
  }

  #draw() {
    const { duration, playback } = this;
    const moment = { time: playback.time, loop: playback.looped };
    const [from, to] = [this.#from, this.#from + this.#shown];
    const isWhole = this.#shown >= duration;
    this.pictures.detail.draw({ ...moment, from, to, frame: null });
    this.pictures.overview.draw({ ...moment, from: 0, to: duration, frame: isWhole ? null : { from, to } });
    this.zoomIn.disabled = this.#shown <= LEAST_SPAN;
    this.zoomOut.disabled = isWhole;
    this.#tellPosition(Math.floor(playback.time), Math.round(duration));
  }

  #tellPosition(time, duration) {
    const text = `${formatClock(time)} of ${formatClock(duration)}`;
    if (this.slider.getAttribute("aria-valuetext") === text) return;
    this.slider.setAttribute("aria-valuemax", String(duration));
    this.slider.setAttribute("aria-valuenow", String(Math.min(time, duration)));
    this.slider.setAttribute("aria-valuetext", text);
  }

  #colour(name) {
    if (!this.#colours.has(name)) {
      // A canvas does not know light-dark(): the colour is read where the style has worked it out.
      this.status.style.setProperty("outline-color", `var(${name})`);
      this.#colours.set(name, getComputedStyle(this.status).outlineColor);
    }
    return this.#colours.get(name);
  }

  #bands(from, to) {
    const { lines } = this.transcript;
    const bands = [];
    // A line may reach beyond the start of a later one, so the first that is seen cannot be found by halving.
    for (const line of lines) {
      if (line.start >= to) break;
      if (line.end <= from) continue;
      const colour = line.speaker === null ? "--wave-speech" : `--speaker-${this.transcript.colourOf(line.speaker)}`;
      bands.push({ start: line.start, end: line.end, colour: this.#colour(colour) });
    }
    return bands;
  }

  // Moving about

  #follow() {
    const time = this.playback.time;
    const isOut = time < this.#from || time > this.#from + this.#shown;
    const isAtTurn = this.playback.playing && time > this.#from + TURN_AT * this.#shown && this.#from + this.#shown < this.duration;
    // The span is turned like a page: a picture that slides all the time is hard to look at, and is drawn all the time.
    if (!this.#drags && (isOut || isAtTurn)) this.#show(time - (1 - TURN_AT) * this.#shown);
  }

  #show(from) {
    this.#from = Math.max(0, Math.min(from, this.duration - this.#shown));
    this.#schedule();
  }

  #zoom(factor, centre = this.playback.time) {
    const place = this.#shown ? (centre - this.#from) / this.#shown : 0;
    const kept = place >= 0 && place <= 1 ? place : 0.5;
    this.#span = Math.min(Math.max(LEAST_SPAN, this.#shown * factor), Math.max(LEAST_SPAN, this.duration));
    this.#show(centre - kept * this.#shown);
  }

  #seek(time) {
    this.playback.seek(Math.max(0, Math.min(time, this.duration)));
    this.#schedule();
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { duration, playback } = this;
    if (event.key in KEY_STEPS) this.#seek(playback.time + KEY_STEPS[event.key]);
    else if (event.key === "Home") this.#seek(0);
    else if (event.key === "End") this.#seek(duration);
    else if (event.key === "+" || event.key === "=") this.#zoom(1 / ZOOM);
    else if (event.key === "-") this.#zoom(ZOOM);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #onWheel(event) {
    if (event.ctrlKey) this.#zoom(1.002 ** event.deltaY, this.#timeAt(event));
    else if (event.deltaX || event.shiftKey) {
      this.#show(this.#from + ((event.deltaX || event.deltaY) / this.slider.clientWidth) * this.#shown);
    } else return;
    event.preventDefault();
  }

  #timeAt(event) {
    const { left, width } = this.slider.getBoundingClientRect();
    return this.#from + ((event.clientX - left) / width) * this.#shown;
  }

  #point(event) {
    const time = this.#timeAt(event);
    const line = this.transcript.lineAt(time);
    const name = line?.speaker ? ` ${this.transcript.nameOf(line.speaker)}` : "";
    this.pointed.textContent = formatClock(time) + name;
    this.pointed.hidden = event.pointerType === "touch";
    const { left, width } = this.slider.getBoundingClientRect();
    const half = this.pointed.offsetWidth / 2;
    const x = Math.max(half, Math.min(width - half, event.clientX - left));
    this.pointed.style.setProperty("translate", `calc(${x}px - 50%)`);
  }

  #seekByPointer(target, range, signal) {
    const seek = (event) => {
      const { left, width } = target.getBoundingClientRect();
      const [from, to] = range();
      const part = Math.max(0, Math.min(1, (event.clientX - left) / width));
      this.#seek(from + part * (to - from));
    };
    target.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      target.setPointerCapture(event.pointerId);
      this.#drags = target === this.slider;
      seek(event);
    }, { signal });
    target.addEventListener("pointermove", (event) => {
      if (target.hasPointerCapture(event.pointerId)) seek(event);
    }, { signal });
    target.addEventListener("lostpointercapture", () => { this.#drags = false; }, { signal });
  }
}
