// The microphone as live captions need it: 16 bit samples, mono at 16 kHz.

import { levelOf } from "./level.js";
import { Resampler } from "./resampler.js";

const RATE = 16_000;
export const BYTES_PER_SECOND = 2 * RATE;

/** Events: "sound" (detail: an Int16Array), "level" (detail 0 to 1) and "lost" (the microphone is gone). */
export class Sound extends EventTarget {
  #stream;
  #audio;
  isPaused = false;

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
    samples.port.onmessage = ({ data }) => this.#take(resampler.take(data));
    this.#audio.createMediaStreamSource(this.#stream).connect(samples);
    await this.#audio.resume();
  }

  #take(samples) {
    if (!this.isPaused) this.dispatchEvent(new CustomEvent("sound", { detail: samples }));
    this.dispatchEvent(new CustomEvent("level", { detail: this.isPaused ? 0 : levelOf(samples) }));
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#audio?.close();
  }
}
