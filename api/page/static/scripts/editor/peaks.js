// The peaks of a recording: how loud it is, 0 to 255, for each twentieth of a second.

import { peaks } from "../server/transcripts.js";

const REDUCTION = 4;
const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 5000;

/**
 * Peaks with their maxima over 4, 16, 64… of them, so that the loudest of any stretch is found in a few steps:
 * ten hours are 720,000 peaks, and a picture of them has some thousand columns.
 */
export class Peaks {
  /**
   * @param {Uint8Array} values the peaks.
   * @param {number} perSecond peaks per second.
   */
  constructor(values, perSecond) {
    this.perSecond = perSecond;
    this.duration = values.length / perSecond;
    this.levels = [values];
    while (this.levels.at(-1).length > REDUCTION) this.levels.push(reduce(this.levels.at(-1)));
  }

  /**
   * The loudest peak of each column of a picture.
   *
   * @param {number} from seconds at the left edge of the picture.
   * @param {number} to seconds at its right edge.
   * @param {number} count columns of the picture.
   * @returns {Uint8Array} 0 where there is no recording.
   */
  columns(from, to, count) {
    const step = ((to - from) * this.perSecond) / count;
    const first = from * this.perSecond;
    const columns = new Uint8Array(count);
    for (let column = 0; column < count; column++) {
      const start = Math.floor(first + column * step);
      columns[column] = this.#loudest(start, Math.max(start + 1, Math.floor(first + (column + 1) * step)));
    }
    return columns;
  }

  #loudest(start, end) {
    let [from, to] = [Math.max(0, start), Math.min(this.levels[0].length, end)];
    let loudest = 0;
    for (const values of this.levels) {
      if (from >= to) break;
      // Up to the next level's whole groups, one by one; the groups themselves are the next level's.
      const isLast = values === this.levels.at(-1);
      const groupsStart = isLast ? to : Math.min(to, Math.ceil(from / REDUCTION) * REDUCTION);
      const groupsEnd = isLast ? to : Math.max(groupsStart, Math.floor(to / REDUCTION) * REDUCTION);
      for (let at = from; at < groupsStart; at++) if (values[at] > loudest) loudest = values[at];
      for (let at = groupsEnd; at < to; at++) if (values[at] > loudest) loudest = values[at];
      [from, to] = [groupsStart / REDUCTION, groupsEnd / REDUCTION];
    }
    return loudest;
  }
}

function reduce(values) {
  const reduced = new Uint8Array(Math.ceil(values.length / REDUCTION));
  for (let at = 0; at < values.length; at++) {
    const group = (at / REDUCTION) | 0;
    if (values[at] > reduced[group]) reduced[group] = values[at];
  }
  return reduced;
}

/**
 * Load the peaks of a transcript's recording; waits while the server makes them.
 *
 * @param {string} id of the transcript.
 * @param {AbortSignal} signal ends the wait.
 * @param {(fraction: number) => void} onProgress is called with how much is made, 0 to 1.
 * @returns {Promise<Peaks>}
 * @throws {import("../server/client.js").ServerError} there is no recording, or it cannot be read.
 */
export async function loadPeaks(id, signal, onProgress) {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(LONGEST_PAUSE_MS, pause * 1.5)) {
    const made = await peaks(id);
    signal.throwIfAborted();
    if (made.ready) return new Peaks(made.values, made.perSecond);
    onProgress(made.fraction ?? 0);
    await new Promise((resolve) => setTimeout(resolve, pause));
    signal.throwIfAborted();
  }
}
