// The player's controls.

import { element, icon, iconButton, menu } from "../dom.js";
import { formatClock } from "../text/clock.js";
import { RATES } from "./playback.js";

export const SKIP_S = 5;

/**
 * @param {{playback: import("./playback.js").Playback, commands: Object<string, () => void>}} parts
 * @returns {{root: HTMLElement, unmount: () => void}}
 */
export function buildPlayer({ playback, commands }) {
  const ended = new AbortController();
  const play = iconButton("Play", "play", () => playback.toggle());
  play.classList.replace("quiet", "primary");
  const now = element("span", { class: "player-now" });
  const total = element("span", { class: "muted" });
  const loop = iconButton("Repeat the line", "loop", commands.loop);
  const speed = element("button", { type: "button", class: "quiet player-speed", title: "Speed" });
  menu(speed, () => RATES.map((rate) => ({ label: `${rate}×`, checked: rate === playback.rate, run: () => { playback.rate = rate; } })));
  const controls = element("div", { class: "player-controls", role: "group", "aria-label": "Player" },
    iconButton("Back 5 seconds", "rewind", commands.back), play, iconButton("Ahead 5 seconds", "forward", commands.ahead),
    element("span", { class: "player-time" }, now, " / ", total), speed, loop);
  const problem = element("p", { class: "player-problem" });
  const root = element("div", { class: "player" }, controls, problem);

  const drawTime = () => {
    const text = formatClock(playback.time);
    if (now.textContent !== text) now.textContent = text;
  };
  const drawState = () => {
    const { playing, condition } = playback;
    play.setAttribute("aria-label", playing ? "Pause" : "Play");
    play.title = playing ? "Pause" : "Play";
    play.replaceChildren(icon(playing ? "pause" : "play"));
    total.textContent = formatClock(playback.duration);
    speed.textContent = `${playback.rate}×`;
    speed.setAttribute("aria-label", `Speed: ${playback.rate}×`);
    loop.setAttribute("aria-pressed", String(playback.looped !== null));
    // A player that cannot play is no player.
    controls.hidden = condition === "unavailable" || condition === "preparing";
    problem.hidden = !controls.hidden;
    problem.textContent = condition === "preparing"
      ? `Preparing the recording for this browser… ${playback.fraction ? `${Math.round(playback.fraction * 100)}%` : ""}`
      : "This browser cannot play the recording. You can still edit the text.";
    drawTime();
  };
  playback.addEventListener("time", drawTime, { signal: ended.signal });
  playback.addEventListener("state", drawState, { signal: ended.signal });
  drawState();
  return { root, unmount: () => ended.abort() };
}
