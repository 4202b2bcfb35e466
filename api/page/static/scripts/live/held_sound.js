// Sound that the server may not have yet: it is kept until the server says so, to be sent again after a lost connection.

/** Positions are in bytes from the beginning of the recording. */
export class HeldSound {
  #pieces = []; // {start, bytes}, in order
  #end = 0;

  /** Position behind the last sound. */
  get end() {
    return this.#end;
  }

  /** Bytes that are held. */
  get size() {
    return this.#end - (this.#pieces[0]?.start ?? this.#end);
  }

  /** @param {Uint8Array} bytes */
  add(bytes) {
    this.#pieces.push({ start: this.#end, bytes });
    this.#end += bytes.length;
  }

  /**
   * Drop what the server has.
   *
   * @param {number} position up to which it has everything.
   */
  drop(position) {
    while (this.#pieces.length && this.#pieces[0].start + this.#pieces[0].bytes.length <= position) this.#pieces.shift();
  }

  /**
   * @param {number} position
   * @param {number} most bytes.
   * @returns {Uint8Array} the sound from there on.
   */
  from(position, most) {
    const found = new Uint8Array(Math.min(most, this.#end - position));
    for (const { start, bytes } of this.#pieces) {
      const own = bytes.subarray(Math.max(0, position - start), Math.max(0, position + found.length - start));
      if (own.length) found.set(own, Math.max(0, start - position));
    }
    return found;
  }
}
