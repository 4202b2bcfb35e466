// Whether the work is saved, in words, and what to do about lines that two tabs have changed.

import { announce, element, icon } from "../dom.js";
import { formatCount } from "../text/counts.js";
import { describeProblem } from "../text/problems.js";

/**
 * @param {{saver: import("../model/saver.js").Saver}} parts
 * @returns {{root: HTMLElement, unmount: () => void}}
 */
export function buildSaveStatus({ saver }) {
  const ended = new AbortController();
  const text = element("span", {});
  const retry = element("button", { type: "button", class: "quiet", hidden: true, onclick: () => saver.flush() }, "Try again");
  const root = element("span", { class: "save-status small" }, text, retry);
  const draw = () => {
    const said = sentenceOf(saver);
    if (text.textContent !== said && saver.status !== "saving") announceProblem(said, saver.status);
    text.textContent = said;
    root.classList.toggle("not-saved", saver.error !== null || saver.conflicts.size > 0);
    retry.hidden = saver.status !== "refused";
  };
  saver.addEventListener("status", draw, { signal: ended.signal });
  draw();
  return { root, unmount: () => ended.abort() };
}

function sentenceOf({ status, error, conflicts }) {
  if (error) {
    const { title, remedy } = describeProblem(error);
    return `Not saved. ${title} ${status === "refused" ? remedy : "Trying again."}`;
  }
  if (conflicts.size) return `${formatCount(conflicts.size, "line")} to settle`;
  return status === "saving" ? "Saving" : "Saved";
}

/** "Saved" after every pause would be noise to who hears it. */
function announceProblem(said, status) {
  if (status !== "saved") announce(said);
}

/**
 * What stands under a line that was changed both here and in another tab.
 *
 * @param {import("./line_row.js").LineRow} row
 * @param {import("../model/saver.js").Saver} saver
 */
export function drawConflict({ id, notice, list }, saver) {
  const isIn = saver.conflicts.has(id);
  notice.hidden = !isIn;
  if (!isIn) {
    notice.replaceChildren();
    return;
  }
  const theirs = saver.conflicts.get(id);
  const said = theirs ? list.document.textOf(theirs) : null;
  const button = (label, choice) => element("button", { type: "button", onclick: () => saver.resolve(id, choice) }, label);
  notice.replaceChildren(icon("alert"),
    element("div", { class: "stack" },
      element("p", {}, said === null ? "This line was deleted in another tab." : "This line was also changed in another tab:"),
      said !== null && element("p", { class: "theirs", dir: "auto" }, said),
      element("div", { class: "row" }, button("Keep mine", "mine"), button(said === null ? "Delete it" : "Use the other", "theirs"))));
}
