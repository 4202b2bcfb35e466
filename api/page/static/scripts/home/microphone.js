// The microphone's panel: start, pause, stop, the level and the time.

import { announce, element, icon, toast } from "../dom.js";
import { formatClock } from "../text/clock.js";
import { NO_MICROPHONE, describeMicrophone } from "../text/problems.js";
import { Recorder } from "./recorder.js";

/**
 * @param {(recorded: {file: File, id: string, release: () => void}) => void} take called when a recording is finished.
 * @param {{live: boolean}} known whether the server has live captions.
 * @returns {{body: HTMLElement, unmount: () => Promise<void>}} a recording goes on while another panel of the form is
 *   shown, and ends with the view.
 */
export function microphonePanel(take, { live }) {
  if (!navigator.mediaDevices || !navigator.locks) {
    const body = element("p", { class: "muted" }, NO_MICROPHONE);
    return { body, async unmount() {} };
  }
  let recorder = null;
  let isLeft = false;
  const time = element("span", { class: "recording-time", role: "timer", "aria-label": "Recorded" }, "0:00");
  const level = element("div", { class: "level", role: "meter", "aria-label": "Input level", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0 }, element("div", { class: "level-bar" }));
  const problem = element("p", { class: "field-error", role: "alert" });
  const startButton = element("button", { type: "button", class: "primary", onclick: start }, icon("microphone"), "Record");
  const pauseButton = element("button", { type: "button", hidden: true, onclick: pause }, icon("pause"), element("span", {}, "Pause"));
  const stopButton = element("button", { type: "button", class: "primary", hidden: true, onclick: stop }, icon("stop"), "Stop");
  const liveLink = live && element("a", { class: "button", href: "#/live" }, icon("subtitles"), "Live captions");
  const warn = (event) => { if (recorder) event.preventDefault(); };
  addEventListener("beforeunload", warn);

  async function start() {
    problem.textContent = "";
    startButton.disabled = true;
    try {
      recorder = await Recorder.start();
      if (isLeft) return await putAside(); // the browser asked for permission meanwhile
    } catch (error) {
      problem.textContent = describeMicrophone(error);
      return;
    } finally {
      startButton.disabled = false;
    }
    recorder.addEventListener("level", ({ detail }) => showLevel(detail));
    recorder.addEventListener("time", () => { time.textContent = formatClock(recorder?.seconds ?? 0); });
    recorder.addEventListener("problem", () => { problem.textContent = "The browser has no room left for the recording. Stop it now: what was recorded so far is kept."; });
    recorder.addEventListener("lost", () => {
      problem.textContent = "The microphone was disconnected. What was recorded is kept.";
      stop();
    });
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
    const stopped = recorder;
    recorder = null;
    time.textContent = "0:00";
    showLevel(0);
    showState();
    try {
      const recorded = await stopped.stop();
      if (isLeft) recorded.release(); // the list offers it
      else take(recorded);
    } catch {
      problem.textContent = "The recording could not be read. It is in the list of transcripts once this page is reloaded.";
    }
  }

  async function putAside() {
    const ending = recorder.stop();
    recorder = null;
    showState();
    (await ending).release(); // the list offers it
  }

  function showLevel(value) {
    level.style.setProperty("--level", value.toFixed(3));
    level.setAttribute("aria-valuenow", Math.round(value * 100));
  }

  function showState() {
    startButton.hidden = recorder !== null;
    if (liveLink) liveLink.hidden = recorder !== null;
    pauseButton.hidden = stopButton.hidden = recorder === null;
    const isPaused = recorder?.isPaused ?? false;
    pauseButton.replaceChildren(icon(isPaused ? "microphone" : "pause"), element("span", {}, isPaused ? "Continue" : "Pause"));
    panel.classList.toggle("is-recording", recorder !== null && !isPaused);
    dispatchEvent(new CustomEvent("recording", { detail: recorder !== null && !isPaused }));
  }

  const panel = element("div", { class: "microphone" },
    element("div", { class: "recording-state" }, element("span", { class: "recording-dot", "aria-hidden": "true" }), time, level),
    element("div", { class: "row" }, startButton, pauseButton, stopButton, liveLink),
    problem,
    element("p", { class: "field-hint" }, "Your recording is kept in this browser until it has been uploaded, even if the page reloads."));
  return {
    body: panel,
    async unmount() {
      isLeft = true;
      removeEventListener("beforeunload", warn);
      if (!recorder) return;
      await putAside();
      toast("The recording has ended, and is kept in your list of transcripts.");
    },
  };
}
