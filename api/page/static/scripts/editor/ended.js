// A job that failed or was cancelled: what happened, and what can be done.

import { element, icon, toast } from "../dom.js";
import { records } from "../server/records.js";
import * as transcripts from "../server/transcripts.js";
import { describeFailure, describeProblem } from "../text/problems.js";

/**
 * @param {HTMLElement} host
 * @param {{record: import("../server/transcripts.js").Record}} parts
 * @returns {{unmount: () => void}}
 */
export function mountEnded(host, { record }) {
  const isCancelled = record.state === "cancelled";
  const { title, remedy, needs } = isCancelled
    ? { title: "This transcription was cancelled.", remedy: "The recording is still here." }
    : describeFailure(record);
  const retry = element("button", { type: "button", class: "primary", onclick: () => again(retry, record) }, icon("retry"), isCancelled ? "Transcribe" : "Try again");
  host.append(element("div", { class: "editor-message" },
    element("a", { class: "button quiet", href: "#/" }, icon("back"), "All transcripts"),
    element("h1", { class: "clip" }, record.title),
    element("div", { class: "problem" }, icon("alert"), element("div", {}, element("p", {}, element("strong", {}, title)), element("p", {}, remedy))),
    needs !== "recording" && element("div", { class: "row" }, retry)));
  return { unmount: () => host.replaceChildren() };
}

async function again(button, record) {
  button.disabled = true;
  try {
    records.put(await transcripts.retry(record.id));
  } catch (error) {
    button.disabled = false;
    toast(describeProblem(error).title);
  }
}
