// The recording being played: an <audio> or <video>, and what the editor asks of it.

import { get, mediaAddress, playable, playableAddress } from "../server/transcripts.js";
import { browserStore } from "../storage.js";

const RATE_KEY = "speed";

export const RATES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3];

/** A copy that browsers can play is asked for again after this time, while it is being made. */
const COPY_POLL_MS = 1000;

/** A recording that broke off is asked for again after this time. */
const RETRY_MS = 2000;

/**
 * Fires "time" (each frame while it plays, and on a seek) and "state" (plays, stops, is loaded, fails, changes speed).
 */
export class Playback extends EventTarget {
  /** "loading", "preparing" (a copy is made, see `fraction`), "ready" or "unavailable". */
  condition = "loading";
  /** Share of the copy that is made, 0 to 1. */
  fraction = 0;
  #record;
  #loop = null;
  #frame = 0;
  #triedCopy = false;
  #closed = new AbortController();

  /** @param {{id: string, media: {kind: string, playable: boolean}|null, source: {url: string|null}, duration: number|null}} record */
  constructor(record) {
    super();
    this.#record = record;
    this.element = document.createElement(record.media?.kind === "audio" ? "audio" : "video");
    this.element.preload = "metadata";
    this.element.playsInline = true;
    this.element.preservesPitch = true;
    const on = (names, listener) => {
      for (const name of names.split(" ")) this.element.addEventListener(name, listener, { signal: this.#closed.signal });
    };
    on("loadedmetadata", () => this.#become("ready"));
    on("play pause ended ratechange durationchange", () => this.#changed());
    on("seeking seeked timeupdate", () => this.#tick());
    on("error", () => this.#failed());
    this.#load();
    this.rate = Number(browserStore.get(RATE_KEY)) || 1;
  }

  /** Seconds; setting it is a seek. */
  get time() {
    return this.element.currentTime;
  }

  set time(seconds) {
    this.seek(seconds);
  }

  /** Seconds: the recording's, else what the transcript's record says. */
  get duration() {
    return Number.isFinite(this.element.duration) ? this.element.duration : (this.#record.duration ?? 0);
  }

  get playing() {
    return !this.element.paused && !this.element.ended;
  }

  /** Whether there is a picture. */
  get hasPicture() {
    return this.element instanceof HTMLVideoElement && this.element.videoWidth > 0;
  }

  /** @param {number} [from] seconds; without it, from where it stands. */
  play(from) {
    if (from !== undefined) this.seek(from);
    this.element.play().catch(() => this.#changed()); // not loaded yet, or stopped again at once
  }

  pause() {
    this.element.pause();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** @param {number} time in seconds; ends a loop that it leaves. */
  seek(time) {
    const target = Math.min(Math.max(0, time), this.duration || Infinity);
    if (this.#loop && (target < this.#loop.start || target >= this.#loop.end)) this.stopLoop();
    this.element.currentTime = target;
    this.dispatchEvent(new Event("time"));
  }

  /** @param {number} seconds back if negative. */
  skip(seconds) {
    this.seek(this.time + seconds);
  }

  /** Speed, 0.5 to 3, with the voice at its pitch. It is kept for the next visit. */
  get rate() {
    return this.element.playbackRate;
  }

  set rate(rate) {
    const allowed = Math.min(RATES.at(-1), Math.max(RATES[0], rate));
    this.element.defaultPlaybackRate = allowed;
    this.element.playbackRate = allowed;
    browserStore.set(RATE_KEY, allowed);
  }

  /** @param {number} steps along `RATES`, back if negative. */
  changeRate(steps) {
    const nearest = RATES.findLastIndex((rate) => rate <= this.rate);
    this.rate = RATES[Math.min(RATES.length - 1, Math.max(0, nearest + steps))];
  }

  /** Play a span, in seconds, again and again. */
  loop(start, end) {
    if (!(end > start)) return;
    this.#loop = { start, end };
    if (this.time < start || this.time >= end) this.seek(start);
    this.play();
    this.#changed();
  }

  stopLoop() {
    this.#loop = null;
    this.#changed();
  }

  /** @returns {{start: number, end: number}|null} the span that is repeated. */
  get looped() {
    return this.#loop;
  }

  close() {
    this.#closed.abort();
    cancelAnimationFrame(this.#frame);
    this.element.pause();
    this.element.removeAttribute("src");
    this.element.load();
  }

  #load() {
    const { id, media, source } = this.#record;
    if (media?.playable) this.element.src = mediaAddress(id);
    else if (media) this.#loadCopy();
    else if (source.url) this.element.src = source.url;
    else this.#become("unavailable");
  }

  async #failed() {
    const { id, media } = this.#record;
    const isBroken = this.element.error?.code === MediaError.MEDIA_ERR_NETWORK;
    if (media && (isBroken || !(await isReachable(id)))) await this.#loadAgain();
    else if (this.#closed.signal.aborted) return;
    else if (media && !this.#triedCopy) this.#loadCopy();
    else this.#become("unavailable");
  }

  /** The connection is lost: go on at the same place once the server is back. */
  async #loadAgain() {
    const { currentTime, paused } = this.element;
    do {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      if (this.#closed.signal.aborted) return;
    } while (!(await isReachable(this.#record.id)));
    if (this.#closed.signal.aborted) return;
    this.element.load();
    this.element.currentTime = currentTime;
    if (!paused) this.play();
  }

  async #loadCopy() {
    this.#triedCopy = true;
    this.#become("preparing");
    const { id } = this.#record;
    try {
      for (;;) {
        const { ready, fraction } = await playable(id);
        if (this.#closed.signal.aborted) return;
        if (ready) break;
        this.fraction = fraction;
        this.#become("preparing");
        await new Promise((done) => setTimeout(done, COPY_POLL_MS));
      }
      this.element.src = playableAddress(id);
    } catch {
      this.#become("unavailable");
    }
  }

  #become(condition) {
    this.condition = condition;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("state"));
    this.#tick();
  }

  #tick() {
    cancelAnimationFrame(this.#frame);
    if (this.#loop && this.playing && this.time >= this.#loop.end) this.element.currentTime = this.#loop.start;
    this.dispatchEvent(new Event("time"));
    if (this.playing) this.#frame = requestAnimationFrame(() => this.#tick());
  }
}

/** Whether the server answers for a transcript, whatever it says. */
const isReachable = (id) => get(id).then(() => true, ({ status }) => status >= 400 && status < 500);
