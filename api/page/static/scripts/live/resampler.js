// Changes the rate of sound that comes in pieces. Browsers do so themselves, but Firefox refuses to for a microphone:
// https://bugzilla.mozilla.org/show_bug.cgi?id=1725336

const ZEROS = 16; // of the filter's sine to each side: more are steeper
const PASSED = 0.95; // of what the lower rate can hold
const STEPS = 256; // values of the filter for each sample; between them it is nearly straight

/** A filter (https://ccrma.stanford.edu/~jos/resample/) that takes samples at one rate, and makes samples at another. */
export class Resampler {
  #step;
  #half; // width of the filter to each side, in samples
  #filter;
  #kept; // samples that the next ones are made of, too
  #position; // of the next one, in what is kept

  /**
   * @param {number} from samples a second that come.
   * @param {number} to samples a second that are made.
   */
  constructor(from, to) {
    const cutoff = PASSED * Math.min(1, to / from);
    this.#step = from / to;
    this.#half = Math.ceil(ZEROS / cutoff);
    this.#filter = Float32Array.from({ length: this.#half * STEPS + 2 }, (_, index) => filterAt(index / STEPS, cutoff, this.#half));
    this.#kept = new Float32Array(this.#half); // silence before the first sound
    this.#position = this.#half;
  }

  /**
   * @param {Float32Array} samples -1 to 1.
   * @returns {Int16Array} what can be made of all that came so far.
   */
  take(samples) {
    const known = new Float32Array(this.#kept.length + samples.length);
    known.set(this.#kept);
    known.set(samples, this.#kept.length);
    const count = Math.max(0, Math.ceil((known.length - this.#half - this.#position) / this.#step));
    const made = Int16Array.from({ length: count }, (_, index) => this.#at(known, this.#position + index * this.#step));
    const next = this.#position + count * this.#step;
    const first = Math.floor(next) - this.#half;
    this.#kept = known.slice(first);
    this.#position = next - first;
    return made;
  }

  #at(known, position) {
    let sum = 0;
    for (let index = Math.ceil(position - this.#half); index <= position + this.#half; index++) {
      const place = Math.abs(index - position) * STEPS;
      const before = Math.floor(place);
      const [low, high] = [this.#filter[before], this.#filter[before + 1]];
      sum += known[index] * (low + (high - low) * (place - before));
    }
    return Math.round(32767 * Math.max(-1, Math.min(1, sum)));
  }
}

/** A sine over its distance, faded out by a Hann window. */
function filterAt(distance, cutoff, half) {
  if (distance >= half) return 0;
  const angle = Math.PI * cutoff * distance;
  const sinc = angle === 0 ? 1 : Math.sin(angle) / angle;
  return cutoff * sinc * (0.5 + 0.5 * Math.cos((Math.PI * distance) / half));
}
