// Live captions from the first word to the last: the microphone, the connection, and what is shown of both.

import { announce, element, icon, toast } from "../dom.js";
import { records } from "../server/records.js";
import { formatClock, formatDuration } from "../text/clock.js";
import { describeWarning } from "../text/problems.js";
import { Captions } from "./captions.js";
import { LiveConnection } from "./connection.js";

const STATES = {
  listening: "Listening", speaking: "Hearing speech", paused: "Paused", lost: "Connection lost. Reconnecting…",
  stopping: "Finishing the last words…",
};

/**
 * @param {import("./sound.js").Sound} sound that has started.
 * @param {import("../server/transcripts.js").Record} record of the transcript.
 * @param {(reason: string) => void} onNothing called when it has ended without a transcript.
 * @returns {{body: HTMLElement, focus: () => void, leave: () => void}} `leave` ends it because another view is shown.
 */
export function liveSession(sound, record, onNothing) {
  const connection = new LiveConnection(record.id);
  const captions = new Captions();
  const known = { isConnected: false, speaks: false, isStopping: false, isLeft: false };
  const time = element("span", { class: "recording-time", role: "timer", "aria-label": "Elapsed" }, "0:00");
  const level = element("div", { class: "level", role: "meter", "aria-label": "Input level", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0 }, element("div", { class: "level-bar" }));
  const status = element("span", { class: "live-status", role: "status" });
  const pauseButton = element("button", { type: "button", onclick: pause });
  const stopButton = element("button", { type: "button", class: "primary", onclick: stop }, icon("stop"), "Stop");
  const warnings = element("ul", { class: "live-warnings small", hidden: true });
  const body = element("section", { class: "live-session", "aria-label": "Live captions" },
    captions.root, warnings,
    element("div", { class: "live-bar" },
      element("div", { class: "live-state" }, element("span", { class: "recording-dot", "aria-hidden": "true" }), status),
      time, level, element("div", { class: "row live-actions" }, pauseButton, stopButton)));

  const warnBeforeClosing = (event) => event.preventDefault();
  addEventListener("beforeunload", warnBeforeClosing);
  const letSleep = keepAwake();

  function show() {
    const state = known.isStopping ? "stopping" : !known.isConnected ? "lost" : sound.isPaused ? "paused" : known.speaks ? "speaking" : "listening";
    if (status.textContent !== STATES[state]) status.textContent = STATES[state];
    body.dataset.state = state;
    const isRecording = !known.isStopping && !sound.isPaused;
    body.classList.toggle("is-recording", isRecording);
    pauseButton.replaceChildren(icon(sound.isPaused ? "microphone" : "pause"), sound.isPaused ? "Continue" : "Pause");
    pauseButton.disabled = stopButton.disabled = known.isStopping;
    dispatchEvent(new CustomEvent("recording", { detail: isRecording }));
  }

  function showLevel(value) {
    level.style.setProperty("--level", value.toFixed(3));
    level.setAttribute("aria-valuenow", Math.round(value * 100));
  }

  async function pause() {
    await sound.setPaused(!sound.isPaused);
    if (sound.isPaused) connection.pause();
    show();
  }

  async function stop() {
    if (known.isStopping) return;
    known.isStopping = true;
    captions.dropHint();
    show();
    await sound.stop();
    connection.stop();
    showLevel(0);
  }

  function warn(text) {
    warnings.append(element("li", {}, icon("alert"), text));
    warnings.hidden = false;
    announce(text);
  }

  const RECEIVED = {
    ready: (message) => captions.showMissed(message),
    running: (message) => captions.showRunning(message),
    lines: (message) => captions.showFinal(message),
    speech: ({ speaks }) => { known.speaks = speaks; captions.dropHint(); show(); },
    warning: ({ message }) => warn(describeWarning(message)),
  };

  function end({ record: ended, warning, lostSeconds }) {
    stop();
    removeEventListener("beforeunload", warnBeforeClosing);
    letSleep();
    dispatchEvent(new CustomEvent("recording", { detail: false }));
    if (warning) toast(describeWarning(warning));
    if (lostSeconds >= 1) toast(`The last ${formatDuration(lostSeconds)} did not reach the server, and are missing.`);
    if (known.isLeft) return;
    if (!ended) {
      onNothing(connection.seconds > 0 ? "The transcript was deleted." : "Nothing was recorded.");
      return;
    }
    records.put(ended);
    location.hash = `#/t/${encodeURIComponent(ended.id)}`;
  }

  sound.addEventListener("sound", ({ detail }) => {
    connection.send(detail);
    time.textContent = formatClock(connection.seconds);
  });
  sound.addEventListener("level", ({ detail }) => showLevel(detail));
  sound.addEventListener("lost", () => {
    warn("The microphone was disconnected. What was said until then is kept.");
    stop();
  });
  connection.addEventListener("message", ({ detail }) => RECEIVED[detail.type]?.(detail));
  connection.addEventListener("connection", ({ detail }) => { known.isConnected = detail.connected; show(); });
  connection.addEventListener("full", () => {
    if (known.isStopping) return;
    warn("The server could not be reached, or was too slow, for two minutes. The captions end here.");
    stop();
  });
  connection.addEventListener("over", ({ detail }) => end(detail));
  known.isConnected = true; // about to be: a connection that is slow to begin is not lost
  show();
  return {
    body,
    focus: () => pauseButton.focus(),
    leave() {
      known.isLeft = true;
      if (known.isStopping) return;
      stop();
      toast("The live captions have ended, and are in your list of transcripts.");
    },
  };
}

/** Keep the screen on, where the browser can: a phone that sleeps hears nothing. @returns {() => void} ends it. */
function keepAwake() {
  let lock = null;
  const ask = async () => {
    if (!document.hidden) lock = await navigator.wakeLock?.request("screen").catch(() => null);
  };
  document.addEventListener("visibilitychange", ask); // the browser lets go of it when the tab is hidden
  ask();
  return () => {
    document.removeEventListener("visibilitychange", ask);
    lock?.release();
  };
}
