// The voices that are kept on this machine, which later transcripts name, and how one is forgotten.

import { announce, element, openDialog } from "./dom.js";
import * as transcripts from "./server/transcripts.js";
import { formatCount } from "./text/counts.js";
import { describeProblem } from "./text/problems.js";

const NONE = "No voice is kept. The panel “Speakers” of a transcript keeps one.";
const ABOUT = "Transcripts whose speakers are told apart by voice name these. They are kept on this machine, also for the command line.";

/**
 * Show the voices, with a button to forget each.
 *
 * @returns {Promise<boolean>} whether one was forgotten, once the dialog is closed.
 */
export async function showKnownVoices() {
  const list = element("ul", { class: "voice-list", "aria-label": "Known voices" });
  const about = element("p", { class: "muted" }, ABOUT);
  const problem = element("p", { class: "field-error", role: "alert" });
  let hasForgotten = false;

  async function draw() {
    try {
      const voices = await transcripts.knownVoices();
      list.replaceChildren(...voices.map(rowOf));
      about.textContent = voices.length ? ABOUT : NONE;
    } catch (error) {
      showProblem(error);
    }
  }

  const rowOf = ({ name, samples, seconds, added }) => element("li", {},
    element("span", { class: "clip", dir: "auto" }, name),
    element("span", { class: "muted small" }, `${formatCount(samples, "sample")}, ${Math.round(seconds)} s of speech, ${added}`),
    element("button", { type: "button", "aria-label": `Forget the voice of ${name}`, onclick: () => forget(name) }, "Forget"));

  async function forget(name) {
    const answer = await openDialog(`Forget the voice of ${name}?`, "Later transcripts do not name it. This cannot be undone.",
      [{ label: "Cancel", value: "" }, { label: "Forget", value: "forget", kind: "danger" }]);
    if (answer !== "forget") return;
    problem.textContent = "";
    try {
      await transcripts.forgetVoice(name);
      hasForgotten = true;
      announce(`Forgot the voice of ${name}`);
    } catch (error) {
      showProblem(error);
    }
    await draw();
  }

  function showProblem(error) {
    const { title, remedy } = describeProblem(error);
    problem.textContent = `${title} ${remedy}`;
  }

  await draw();
  await openDialog("Known voices", [about, list, problem], [{ label: "Done", value: "done", kind: "primary" }]);
  return hasForgotten;
}
