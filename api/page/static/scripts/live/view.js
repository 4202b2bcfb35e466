// The view of live captions: first what is asked for, then the words as they are spoken.

import { element, icon } from "../dom.js";
import { languageField } from "../home/language_field.js";
import * as transcripts from "../server/transcripts.js";
import { browserStore } from "../storage.js";
import { formatStamp } from "../text/clock.js";
import { PERSONAL_DATA } from "../text/options.js";
import { NO_MICROPHONE, describeMicrophone, describeProblem } from "../text/problems.js";
import { liveSession } from "./session.js";
import { Sound } from "./sound.js";

const CHOICES = "live-options"; // kept in the browser

/**
 * @param {HTMLElement} host
 * @returns {Promise<{title: string, unmount: () => void}>}
 */
export async function mount(host) {
  const { live: hasLive } = await transcripts.options();
  const place = element("div", { class: "live-place" });
  let session = null;
  let isLeft = false;
  host.append(element("div", { class: "live" },
    element("div", { class: "live-head" },
      element("a", { class: "button quiet icon-button", href: "#/", "aria-label": "All transcripts", title: "All transcripts" }, icon("back")),
      element("h1", { class: "clip" }, "Live captions")),
    place));

  function showForm(problem = "") {
    session = null;
    const form = startForm(begin);
    form.showProblem(problem);
    place.replaceChildren(form.body);
  }

  /** @returns {Promise<string>} what is wrong; empty: it has begun. */
  async function begin(options) {
    let sound = null;
    try {
      sound = await Sound.start();
      const record = await transcripts.beginLive(options, `Live captions ${formatStamp(new Date())}`);
      session = liveSession(sound, record, showForm);
    } catch (error) {
      sound?.stop();
      if (error instanceof DOMException) return describeMicrophone(error);
      const { title, remedy } = describeProblem(error);
      return `${title} ${remedy}`;
    }
    if (isLeft) session.leave(); // the browser asked for permission meanwhile
    place.replaceChildren(session.body);
    session.focus();
    return "";
  }

  if (!hasLive) place.append(element("p", { class: "live-none muted" }, "This server has no live captions."));
  else if (!navigator.mediaDevices) place.append(element("p", { class: "live-none muted" }, NO_MICROPHONE));
  else showForm();
  return {
    title: "Live captions",
    unmount() {
      isLeft = true;
      session?.leave();
    },
  };
}

function startForm(begin) {
  const kept = browserStore.get(CHOICES) ?? {};
  const language = languageField("live-language");
  const speakers = element("input", { id: "live-speakers", type: "checkbox" });
  const hide = element("input", { id: "live-redact", type: "checkbox", "aria-describedby": "live-redact-hint" });
  const error = element("p", { class: "field-error", role: "alert" });
  const button = element("button", { type: "submit", class: "primary start" }, icon("microphone"), "Start captions");
  language.set(kept.language ?? "");
  speakers.checked = kept.diarize === true;
  hide.checked = kept.redact !== undefined;

  async function start(event) {
    event.preventDefault();
    const options = { language: language.get() || undefined, diarize: speakers.checked || undefined, redact: hide.checked ? PERSONAL_DATA : undefined };
    browserStore.set(CHOICES, options);
    error.textContent = "";
    button.disabled = true;
    error.textContent = await begin(options);
    button.disabled = false;
  }

  const body = element("form", { class: "card stack live-form", novalidate: true, onsubmit: start },
    element("p", {}, "See what is said as large captions while it is spoken. The sound and the text are saved, and can be edited and downloaded afterwards."),
    element("div", { class: "field" }, element("label", { class: "field-label", for: "live-language" }, "Language"), language.control),
    element("label", { class: "check" }, speakers, "Identify speakers"),
    element("div", { class: "field" },
      element("label", { class: "check" }, hide, "Hide personal data"),
      element("p", { class: "field-hint", id: "live-redact-hint" }, "Card and account numbers, phone numbers, e-mail and IP addresses. They stay in the recording.")),
    error, button);
  return { body, showProblem: (text) => { error.textContent = text; } };
}
