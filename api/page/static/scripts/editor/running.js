// A job that runs: how far it is, and its lines as they come, to read.

import { element, icon, toast } from "../dom.js";
import { rowOfRecord } from "../home/item.js";
import { Document } from "../model/document.js";
import { subscribe } from "../server/events.js";
import { records } from "../server/records.js";
import * as transcripts from "../server/transcripts.js";
import { describeProblem } from "../text/problems.js";
import { LineList } from "./lines.js";

/**
 * @param {HTMLElement} host
 * @param {{record: import("../server/transcripts.js").Record}} parts
 * @returns {Promise<{unmount: () => void, update: (record: Object) => void}>}
 */
export async function mountRunning(host, { record }) {
  const transcript = Document.fromJson(await transcripts.documentOf(record.id), record.title);
  const list = new LineList({ document: transcript, playback: null, actions: {}, isMarked: () => false });
  const status = element("p", { class: "running-status" });
  const bar = element("progress", { max: "1", "aria-label": "Progress" });
  const waiting = element("p", { class: "muted running-wait" }, "The text appears here as it is recognized.");
  const cancel = element("button", { type: "button", onclick: () => stop(cancel, record) }, ...(record.state === "live" ? [icon("stop"), "Stop"] : [icon("close"), "Cancel"]));
  host.append(element("div", { class: "running" },
    element("div", { class: "running-head" },
      element("a", { class: "button quiet icon-button", href: "#/", "aria-label": "All transcripts", title: "All transcripts" }, icon("back")),
      element("h1", { class: "clip" }, record.title),
      cancel),
    element("div", { class: "running-progress" }, status, bar),
    waiting, list.root));

  const update = (now) => {
    const { status: text, fraction } = rowOfRecord(now);
    if (status.textContent !== text) status.textContent = text;
    if (fraction === null || fraction === undefined) bar.removeAttribute("value");
    else bar.value = fraction;
  };
  const take = (lines) => {
    const isAtEnd = list.root.scrollTop + list.root.clientHeight >= list.root.scrollHeight - 40;
    transcript.merge({ lines });
    waiting.hidden = transcript.lines.length > 0;
    if (isAtEnd && transcript.lines.length) list.show(transcript.lines.at(-1).id);
  };
  const ends = [
    subscribe("lines", ({ id, lines }) => { if (id === record.id) take(lines); }),
    // Lines may have come while there was no connection.
    subscribe("hello", () => transcripts.documentOf(record.id).then(({ lines }) => take(lines)).catch(() => {})),
  ];
  update(record);
  take([]);
  return {
    update,
    unmount() {
      for (const end of ends) end();
      list.unmount();
      host.replaceChildren();
    },
  };
}

async function stop(button, record) {
  button.disabled = true;
  try {
    records.put(await transcripts.cancel(record.id));
  } catch (error) {
    button.disabled = false;
    toast(describeProblem(error).title);
  }
}
