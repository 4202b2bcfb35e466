// A recording of the microphone: its sound goes into the browser's database each second.

import { lockOf, openRecordings } from "./recordings.js";

const PIECE_MS = 1000;
const TYPES = ["audio/webm;codecs=opus", "audio/mp4"];

/** Events: "level" (detail 0 to 1, each frame), "time", "problem" (no room left) and "lost" (the microphone is gone). */
export class Recorder extends EventTarget {
  #stream;
  #media;
  #audio;
  #recording;
  #release;
  #written = Promise.resolve();
  #pieces = 0;
  #isFull = false;
  #before = 0; // seconds recorded before the last pause
  #since = null; // when recording began or went on

  /**
   * Ask for the microphone and start.
   *
   * @returns {Promise<Recorder>}
   * @throws {DOMException} "NotAllowedError", "NotFoundError", as `getUserMedia`.
   */
  static async start() {
    const recorder = new Recorder();
    recorder.#stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    try {
      await recorder.#begin();
    } catch (error) {
      recorder.#letGo();
      recorder.#release?.();
      throw error;
    }
    return recorder;
  }

  async #begin() {
    const type = TYPES.find((one) => MediaRecorder.isTypeSupported(one));
    if (!type) throw new DOMException("no type of recording that is known here", "NotSupportedError");
    this.#recording = { id: crypto.randomUUID(), started: Date.now(), type: type.split(";")[0], seconds: 0 };
    await this.#lock();
    const recordings = await openRecordings();
    await recordings.begin(this.#recording);
    this.#media = new MediaRecorder(this.#stream, { mimeType: type });
    this.#media.ondataavailable = ({ data }) => this.#keep(recordings, data);
    this.#stream.getAudioTracks()[0].onended = () => this.dispatchEvent(new Event("lost"));
    this.#media.start(PIECE_MS);
    this.#since = performance.now();
    this.#measure();
  }

  #lock() {
    return new Promise((resolve) => {
      navigator.locks.request(lockOf(this.#recording.id), () => new Promise((release) => { this.#release = release; resolve(); }));
    });
  }

  #keep(recordings, bytes) {
    if (!bytes.size || this.#isFull) return; // behind a gap the rest could not be played
    this.#recording.seconds = this.seconds;
    const number = this.#pieces++;
    const recording = { ...this.#recording };
    this.#written = this.#written.then(() => this.#isFull || recordings.append(recording, number, bytes)).catch(() => {
      this.#isFull = true;
      this.dispatchEvent(new Event("problem"));
    });
    this.dispatchEvent(new Event("time"));
  }

  #measure() {
    this.#audio = new AudioContext();
    const analyser = new AnalyserNode(this.#audio, { fftSize: 1024 });
    this.#audio.createMediaStreamSource(this.#stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const step = () => {
      if (this.#audio.state === "closed") return;
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      // -60 to 0 dB of full scale, as the range of a meter
      const level = this.isPaused ? 0 : Math.max(0, 1 + Math.log10(power + 1e-12) / 6);
      this.dispatchEvent(new CustomEvent("level", { detail: level }));
      requestAnimationFrame(step);
    };
    step();
  }

  get isPaused() {
    return this.#media.state === "paused";
  }

  /** Seconds recorded, without pauses. */
  get seconds() {
    return this.#before + (this.#since === null ? 0 : (performance.now() - this.#since) / 1000);
  }

  togglePause() {
    if (this.isPaused) {
      this.#media.resume();
      this.#since = performance.now();
    } else {
      this.#before = this.seconds;
      this.#since = null;
      this.#media.pause();
    }
  }

  /** @returns {Promise<{file: File, id: string, release: () => void}>} `release` when its sound is safe or unwanted. */
  async stop() {
    if (!this.isPaused) this.#before = this.seconds;
    this.#since = null;
    await this.#end();
    this.#letGo();
    await this.#written;
    const recordings = await openRecordings();
    return { file: await recordings.toFile(this.#recording), id: this.#recording.id, release: this.#release };
  }

  /** Its last piece comes before it stops. It may have stopped by itself, when the microphone was unplugged. */
  #end() {
    return new Promise((resolve) => {
      this.#media.onstop = resolve;
      if (this.#media.state === "inactive") resolve();
      else this.#media.stop();
    });
  }

  #letGo() {
    for (const track of this.#stream.getTracks()) track.stop();
    this.#audio?.close();
  }
}
