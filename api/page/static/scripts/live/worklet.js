// Runs beside the page, where the sound comes: gathers samples, and passes them on. Any message to it is answered with the
// samples gathered so far, and then null.

const SECONDS = 0.128; // in a message

class Samples extends globalThis.AudioWorkletProcessor {
  #gathered = new Float32Array(Math.round(globalThis.sampleRate * SECONDS));
  #count = 0;

  constructor() {
    super();
    this.port.onmessage = () => {
      this.#send();
      this.port.postMessage(null);
    };
  }

  process([[channel]]) {
    for (const sample of channel ?? []) {
      this.#gathered[this.#count++] = sample;
      if (this.#count === this.#gathered.length) this.#send();
    }
    return true;
  }

  #send() {
    this.port.postMessage(this.#gathered.slice(0, this.#count));
    this.#count = 0;
  }
}

globalThis.registerProcessor("samples", Samples);
