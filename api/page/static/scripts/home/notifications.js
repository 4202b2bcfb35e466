// A notification of the system when a job ends while nobody looks. Only for those who ask.

import { element, icon, toast } from "../dom.js";
import { hasJustEnded, records } from "../server/records.js";
import { browserStore } from "../storage.js";

const STORED_AS = "worker-whisper-notify";

const isOn = () => browserStore.get(STORED_AS) === true && Notification.permission === "granted";

/** @returns {HTMLElement|null} a switch; null where the browser has no notifications. */
export function notificationSwitch() {
  if (!("Notification" in window) || !isSecureContext) return null;
  const button = element("button", { type: "button", class: "quiet", onclick: toggle }, icon("bell"), "Notify me");
  async function toggle() {
    if (isOn()) browserStore.set(STORED_AS, null);
    else if ((await Notification.requestPermission()) === "granted") browserStore.set(STORED_AS, true);
    else toast("The browser does not allow notifications here. Allow them beside the address, then try again.");
    draw();
  }
  const draw = () => {
    button.setAttribute("aria-pressed", String(isOn()));
    button.title = isOn() ? "You are notified when a transcript is ready" : "Notify me when a transcript is ready";
  };
  draw();
  return button;
}

/** Notify of each job that ends while the page is hidden, if that is asked for. */
export function notifyOfEnds() {
  records.addEventListener("change", ({ detail }) => {
    const { record } = detail;
    if (!hasJustEnded(detail) || !document.hidden || !("Notification" in window) || !isOn()) return;
    // One for all tabs: the same tag takes the place of the one before.
    const shown = new Notification(record.state === "done" ? "Transcript ready" : "Transcription failed", { body: record.title, tag: record.id });
    shown.onclick = () => { window.focus(); location.hash = `#/t/${encodeURIComponent(record.id)}`; shown.close(); };
  });
}
