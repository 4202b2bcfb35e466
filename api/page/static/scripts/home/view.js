// The first view: the form on one side, the list of transcripts on the other. On a phone the form folds away.

import { element, icon, toast } from "../dom.js";
import { records } from "../server/records.js";
import * as transcripts from "../server/transcripts.js";
import { intake } from "./intake.js";
import { transcriptList } from "./list.js";
import { newTranscript } from "./new_transcript.js";

const PHONE = "(max-width: 860px)";

let loading = null;

/** What the server knows, asked once. */
function loadOptions() {
  loading ??= transcripts.options();
  loading.catch(() => { loading = null; });
  return loading;
}

/**
 * @param {HTMLElement} host
 * @returns {Promise<{title: string, add: (dropped: {files: File[], skipped: number}) => void, unmount: () => void}>}
 *   `add` takes files that were dropped.
 */
export async function mount(host) {
  const known = await loadOptions();
  const form = newTranscript(known, { onStart: fold, onRelease: () => list.refresh().catch(() => {}) });
  const list = transcriptList(form.readOptions, form.chooseFiles, known);
  const panel = element("details", { class: "card new", open: true },
    element("summary", {}, element("h2", {}, "New transcript"), element("span", { class: "spacer" }), icon("chevron", "turns")), form.body);

  function fold(hasFiles) {
    if (matchMedia(PHONE).matches) panel.open = false;
    // Most uploads are over before anybody could close the page.
    if (hasFiles) setTimeout(() => { if (intake.uploading) toast("Keep this page open until the upload is done."); }, 1500);
  }

  const isBusy = intake.items.length > 0 || records.all.some(({ state }) => state === "waiting" || state === "working");
  if (matchMedia(PHONE).matches && isBusy) panel.open = false;
  host.append(element("div", { class: "home" }, panel, list.body));
  return {
    title: "Transcripts",
    add(dropped) {
      panel.open = true;
      form.add(dropped);
    },
    unmount() {
      list.unmount();
      return form.unmount();
    },
  };
}
