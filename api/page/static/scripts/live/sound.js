// The microphone as live captions need it: 16 bit samples, mono at 16 kHz.

import { levelOf } from "./level.js";
import { Resampler } from "./resampler.js";

const RATE = 16_000;
export const BYTES_PER_SECOND = 2 * RATE;
const FLUSH_MS = 500; // to wait for the last samples at most: audio that the system has interrupted gives none

/** Events: "sound" (detail: an Int16Array), "level" (detail 0 to 1) and "lost" (the microphone is gone). */
export class Sound extends EventTarget {
  #stream;
  #audio;
  #port;
  #isPaused = false;
  #flushed = () => {};

  get isPaused() {
    return this.#isPaused;
  }

  /**
   * Ask for the microphone and start.
   *
   * @returns {Promise<Sound>}
   * @throws {DOMException} "NotAllowedError", "NotFoundError", as `getUserMedia`.
   */
  static async start() {
    const sound = new Sound();
    try {
      await sound.#begin();
    } catch (error) {
      sound.stop();
      throw error;
    }
    return sound;
  }

  async #begin() {
    this.#stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    this.#stream.getAudioTracks()[0].onended = () => this.dispatchEvent(new Event("lost"));
    this.#audio = new AudioContext();
    const resampler = new Resampler(this.#audio.sampleRate, RATE);
    await this.#audio.audioWorklet.addModule(new URL("./worklet.js", import.meta.url).href);
    const samples = new AudioWorkletNode(this.#audio, "samples", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    this.#port = samples.port;
    this.#port.onmessage = ({ data }) => (data ? this.#take(resampler.take(data)) : this.#flushed());
    this.#audio.createMediaStreamSource(this.#stream).connect(samples);
    await this.#audio.resume();
  }

  #take(samples) {
    if (!this.#isPaused) this.dispatchEvent(new CustomEvent("sound", { detail: samples }));
    this.dispatchEvent(new CustomEvent("level", { detail: this.#isPaused ? 0 : levelOf(samples) }));
  }

  /** Until now; what comes later belongs to the next state. */
  async #flush() {
    if (!this.#port) return;
    await new Promise((resolve) => {
      this.#flushed = resolve;
      this.#port.postMessage("flush");
      setTimeout(resolve, FLUSH_MS);
    });
  }

  /**
   * Pause, or continue: what was said before is still passed on, and what was said in a pause is not.
   *
   * @param {boolean} isPaused
   */
  async setPaused(isPaused) {
    await this.#flush();
    this.#isPaused = isPaused;
  }

  /** Let the microphone go, once what was said until now has been passed on. */
  async stop() {
    await this.#flush();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#audio?.close();
  }
}
