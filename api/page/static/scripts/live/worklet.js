// Runs beside the page, where the sound comes: gathers samples, and passes them on.

const SECONDS = 0.128; // in a message

class Samples extends globalThis.AudioWorkletProcessor {
  #gathered = new Float32Array(Math.round(globalThis.sampleRate * SECONDS));
  #count = 0;

  process([[channel]]) {
    for (const sample of channel ?? []) {
      this.#gathered[this.#count++] = sample;
      if (this.#count === this.#gathered.length) this.#send();
    }
    return true;
  }

  #send() {
    this.port.postMessage(this.#gathered);
    this.#count = 0;
  }
}

globalThis.registerProcessor("samples", Samples);
