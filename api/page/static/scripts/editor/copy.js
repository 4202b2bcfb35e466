// Copying: the transcript as text, and links to its lines.

import { element, icon, menu, toast } from "../dom.js";
import { plainText } from "./transcript_text.js";

/**
 * A button with a menu of the forms in which the transcript can be copied.
 *
 * @param {{document: import("../model/document.js").Document}} parts of the open transcript.
 * @returns {HTMLElement}
 */
export function copyButton({ document: transcript }) {
  const copy = (form, what) => () => copyText(plainText(transcript, form), what);
  const hasSpeakers = () => transcript.lines.some(({ speaker }) => speaker !== null);
  const button = element("button", { type: "button" }, icon("copy"), "Copy");
  return menu(button, () => [
    { label: "Text", run: copy({}, "Text copied") },
    { label: "Text with times", run: copy({ times: true }, "Text with times copied") },
    ...(hasSpeakers() ? [
      { label: "Text with speakers", run: copy({ speakers: true }, "Text with speakers copied") },
      { label: "Text with speakers and times", run: copy({ speakers: true, times: true }, "Text with speakers and times copied") },
    ] : []),
  ]);
}

/**
 * Copy the address of a line.
 *
 * @param {{id: string}} record of the transcript.
 * @param {string} lineId
 */
export function copyLineLink(record, lineId) {
  return copyText(new URL(`#/t/${record.id}/${lineId}`, location.href).href, "Link copied");
}

/**
 * Put a text on the clipboard, and say so.
 *
 * @param {string} text
 * @param {string} done what is said afterwards.
 */
async function copyText(text, done) {
  const isCopied = await write(text);
  toast(isCopied ? done : "The browser does not allow copying. Download the text instead.");
}

async function write(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { /* without permission the older way may still work */ }
  }
  // navigator.clipboard exists only over HTTPS and on the same machine; a page on the home network has neither.
  const field = element("textarea", { class: "visually-hidden", readonly: true, "aria-hidden": "true" });
  field.value = text;
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return isCopied;
}
