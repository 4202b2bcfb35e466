// Uploads in pieces. A broken connection costs one piece; a file that is chosen again goes on where it stopped.

import { request, ServerError } from "./client.js";

const FIRST_PIECE_BYTES = 1 << 20;
const SMALLEST_PIECE_BYTES = 1 << 18;
// Of a piece: shorter ones report progress more often, longer ones cost fewer round trips.
const [TOO_SHORT_S, TOO_LONG_S] = [1, 4];
const LONGEST_PAUSE_S = 30;
const GIVE_UP_AFTER_S = 3600;

/**
 * A name for the content of a file without reading it: the same file chosen again has the same one.
 *
 * @param {File} file
 * @returns {string}
 */
export const fingerprintOf = (file) => `${file.lastModified}|${file.size}|${file.name.slice(-90)}`; // of at most 128 characters

/**
 * Send a file, and go on where an earlier try stopped. Broken connections and busy servers are waited out.
 *
 * @param {File} file
 * @param {{pieceBytes: number, signal: AbortSignal, onProgress: (sent: {id: string, received: number, isWaiting: boolean}) => void}} settings
 *   `pieceBytes`: the most that the server takes at once; `onProgress`: told after each piece, and with `isWaiting`
 *   when the server cannot be reached.
 * @returns {Promise<string>} the upload's ID.
 * @throws {ServerError} the server refuses the file, or could not be reached for an hour.
 * @throws {DOMException} "AbortError" by the signal; "NotReadableError" if the file has changed on the disk.
 */
export async function upload(file, { pieceBytes, signal, onProgress }) {
  let state = null;
  let piece = Math.min(FIRST_PIECE_BYTES, pieceBytes);
  let failures = 0;
  let lastProgress = Date.now();
  while (!state || state.received < file.size) {
    try {
      state ??= await open(file, signal);
      onProgress({ ...state, isWaiting: false });
      if (state.received >= file.size) break;
      const started = performance.now();
      state = await sendPiece(file, state, piece, signal);
      piece = adapt(piece, (performance.now() - started) / 1000, pieceBytes);
      failures = 0;
      lastProgress = Date.now();
    } catch (error) {
      if (!isTemporary(error) || Date.now() - lastProgress > GIVE_UP_AFTER_S * 1000) throw error;
      if (state) onProgress({ ...state, isWaiting: true });
      await pause(Math.min(2 ** failures, LONGEST_PAUSE_S), signal);
      failures += 1;
      piece = SMALLEST_PIECE_BYTES;
      state = null; // ask what has arrived
    }
  }
  onProgress({ ...state, isWaiting: false });
  return state.id;
}

/** Drop what was sent of a file. @param {string} id */
export const discard = (id) => request("DELETE", `uploads/${encodeURIComponent(id)}`);

const open = (file, signal) =>
  request("POST", "uploads", { name: file.name, size: file.size, fingerprint: fingerprintOf(file) }, { signal });

async function sendPiece(file, { id, received }, size, signal) {
  // Read first: `fetch` cannot tell a file that has changed on the disk from a broken connection.
  const bytes = await file.slice(received, received + size).arrayBuffer();
  try {
    return await request("PUT", `uploads/${encodeURIComponent(id)}?offset=${received}`, new Blob([bytes]), { signal });
  } catch (error) {
    // The answer to a piece was lost: the server has it.
    if (error.code === "wrong_offset" && error.body.received > received) return { id, received: error.body.received };
    throw error;
  }
}

function adapt(piece, seconds, most) {
  if (seconds < TOO_SHORT_S) return Math.min(piece * 2, most);
  if (seconds > TOO_LONG_S) return Math.max(piece / 2, SMALLEST_PIECE_BYTES);
  return piece;
}

const isTemporary = (error) =>
  error instanceof ServerError && [0, 408, 409, 429, 500, 502, 503, 504].includes(error.status) && error.code !== "too_many_uploads";

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(new DOMException("", "AbortError"));
      else resolve();
    };
    const timer = setTimeout(end, seconds * 1000);
    addEventListener("online", end); // do not wait for the rest of the pause
    signal.addEventListener("abort", end);
  });
}
