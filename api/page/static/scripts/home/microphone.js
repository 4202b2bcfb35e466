// The microphone's panel: start, pause, stop, the level and the time.

import { announce, element, icon, toast } from "../dom.js";
import { formatClock } from "../text/clock.js";
import { Recorder } from "./recorder.js";

const PROBLEMS = {
  NotAllowedError: "The browser does not allow the microphone here. Allow it beside the address, then try again.",
  NotFoundError: "No microphone was found. Connect one, then try again.",
  NotReadableError: "Another program is using the microphone. Close it, then try again.",
};

/**
 * @param {(recorded: {file: File, id: string, release: () => void}) => void} take called when a recording is finished.
 * @returns {HTMLElement}
 */
export function microphonePanel(take) {
  if (!navigator.mediaDevices || !navigator.locks) {
    return element("p", { class: "muted" }, "The microphone works only over https or on this computer itself. Record with another program, then choose the file.");
  }
  let recorder = null;
  const time = element("span", { class: "recording-time", role: "timer", "aria-label": "Recorded" }, "0:00");
  const level = element("div", { class: "level", role: "meter", "aria-label": "Input level", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0 }, element("div", { class: "level-bar" }));
  const problem = element("p", { class: "field-error", role: "alert" });
  const startButton = element("button", { type: "button", class: "primary", onclick: start }, icon("microphone"), "Record");
  const pauseButton = element("button", { type: "button", hidden: true, onclick: pause }, icon("pause"), element("span", {}, "Pause"));
  const stopButton = element("button", { type: "button", class: "primary", hidden: true, onclick: stop }, icon("stop"), "Stop");
  const warn = (event) => { if (recorder) event.preventDefault(); };
  addEventListener("beforeunload", warn);

  async function start() {
    problem.textContent = "";
    startButton.disabled = true;
    try {
      recorder = await Recorder.start();
    } catch (error) {
      problem.textContent = PROBLEMS[error.name] ?? "The recording could not be started. Try again, or record with another program.";
      return;
    } finally {
      startButton.disabled = false;
    }
    recorder.addEventListener("level", ({ detail }) => showLevel(detail));
    recorder.addEventListener("time", () => { time.textContent = formatClock(recorder?.seconds ?? 0); });
    recorder.addEventListener("problem", () => { problem.textContent = "The browser has no room left for the recording. Stop it now: what was recorded so far is kept."; });
    showState();
    pauseButton.focus();
    announce("Recording");
  }

  function pause() {
    recorder.togglePause();
    showState();
    announce(recorder.isPaused ? "Recording paused" : "Recording continued");
  }

  async function stop() {
    stopButton.disabled = true;
    const recorded = await recorder.stop();
    recorder = null;
    stopButton.disabled = false;
    time.textContent = "0:00";
    showLevel(0);
    showState();
    take(recorded);
  }

  function showLevel(value) {
    level.style.setProperty("--level", value.toFixed(3));
    level.setAttribute("aria-valuenow", Math.round(value * 100));
  }

  function showState() {
    startButton.hidden = recorder !== null;
    pauseButton.hidden = stopButton.hidden = recorder === null;
    const isPaused = recorder?.isPaused ?? false;
    pauseButton.replaceChildren(icon(isPaused ? "microphone" : "pause"), element("span", {}, isPaused ? "Continue" : "Pause"));
    panel.classList.toggle("is-recording", recorder !== null && !isPaused);
    dispatchEvent(new CustomEvent("recording", { detail: recorder !== null && !isPaused }));
  }

  const panel = element("div", { class: "microphone" },
    element("div", { class: "recording-state" }, element("span", { class: "recording-dot", "aria-hidden": "true" }), time, level),
    element("div", { class: "row" }, startButton, pauseButton, stopButton),
    problem,
    element("p", { class: "field-hint" }, "Your recording is kept in this browser until it has been uploaded, even if the page reloads."));
  // A recording goes on while another tab of the form is open, and ends with the view.
  panel.addEventListener("unmount", async () => {
    removeEventListener("beforeunload", warn);
    if (!recorder) return;
    const ending = recorder.stop();
    recorder = null;
    showState();
    (await ending).release();
    toast("The recording has ended, and is kept in your list of transcripts.");
  });
  return panel;
}
