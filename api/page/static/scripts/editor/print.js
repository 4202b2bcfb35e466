// The transcript on paper. The list on the screen holds only what is seen, so paper gets a text of its own.

import { element } from "../dom.js";
import { formatClock } from "../text/clock.js";
import { turnsOf } from "./transcript_text.js";

/**
 * Print the open transcript, whether by the button or by the browser.
 *
 * @param {{record: object, document: import("../model/document.js").Document}} parts of the open transcript.
 * @returns {{print: () => void, unmount: () => void}}
 */
export function mountPrint(parts) {
  const ended = new AbortController();
  const { signal } = ended;
  let sheet = null;
  const remove = () => {
    sheet?.remove();
    sheet = null;
  };
  const add = () => {
    remove();
    sheet = sheetOf(parts);
    document.body.append(sheet);
  };
  addEventListener("beforeprint", add, { signal });
  addEventListener("afterprint", remove, { signal });
  return {
    print: () => window.print(),
    unmount() {
      ended.abort();
      remove();
    },
  };
}

function sheetOf({ record, document: transcript }) {
  return element("article", { class: "print-sheet" },
    element("h1", {}, transcript.title),
    record.duration && element("p", { class: "print-about" }, formatClock(record.duration)),
    turnsOf(transcript).map(({ start, speaker, text }) =>
      element("p", { class: "print-turn", dir: "auto" },
        element("span", { class: "print-time" }, formatClock(start)),
        speaker !== null && element("b", {}, `${transcript.nameOf(speaker)}: `),
        text)));
}
