// Runs beside the page, where the sound comes: gathers samples, and passes them on as signed 16 bit numbers.

const SAMPLES = 2048; // in a message: 128 ms

class Samples extends globalThis.AudioWorkletProcessor {
  #gathered = new Int16Array(SAMPLES);
  #count = 0;

  process([[channel]]) {
    for (const sample of channel ?? []) {
      this.#gathered[this.#count++] = Math.max(-1, Math.min(1, sample)) * 32767;
      if (this.#count === SAMPLES) this.#send();
    }
    return true;
  }

  #send() {
    this.port.postMessage(this.#gathered);
    this.#count = 0;
  }
}

globalThis.registerProcessor("samples", Samples);
