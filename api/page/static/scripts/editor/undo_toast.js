// The message about what was just done, with a button that takes it back.

import { toast } from "../dom.js";

/**
 * Say what was done, with Undo. The message goes at the next change, which Undo would take back instead.
 *
 * @param {import("../model/document.js").Document} transcript that was just changed.
 * @param {string} text one sentence.
 */
export function undoToast(transcript, text) {
  const close = toast(text, { label: "Undo", run: () => transcript.undo() });
  transcript.addEventListener("change", close, { once: true });
}
