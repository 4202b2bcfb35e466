// Saves what editors that are closed could not save.

import { edit } from "../server/transcripts.js";
import { contentOf } from "./document.js";
import { dropUnsaved, findUnsaved, unsavedTranscripts } from "./unsaved.js";

/**
 * Save what can be saved without asking anybody. What was also changed elsewhere is left to be settled in the editor.
 *
 * @returns {Promise<void>}
 */
export async function saveLeftOver() {
  for (const id of unsavedTranscripts()) {
    for (const kept of await findUnsaved(id)) {
      try {
        const { conflicts = [] } = await edit(id, kept.edits);
        if (conflicts.every((theirs) => isOurs(theirs, kept.edits))) dropUnsaved(kept);
      } catch {
        // The next connection tries again, and the editor says why it fails.
      }
    }
  }
}

/** Whether a line is on the server as it was to be saved: only the answer was lost. */
function isOurs(theirs, { lines = [], deleted = [] }) {
  if (theirs.deleted) return deleted.some(({ id }) => id === theirs.id);
  return contentOf(lines.find(({ id }) => id === theirs.id)) === contentOf(theirs);
}
