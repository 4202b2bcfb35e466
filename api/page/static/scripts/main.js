// The page: who is admitted, which view is shown (by the address after #), and what the tab's title and icon tell.

import { announce, element, icon, menu, toast } from "./dom.js";
import { catchDrops } from "./home/drop.js";
import { loadOptions, mountHome } from "./home/view.js";
import { intake } from "./home/intake.js";
import { notifyOfEnds } from "./home/notifications.js";
import { mountLogIn } from "./log_in.js";
import { subscribe } from "./server/events.js";
import { hasJustEnded, records } from "./server/records.js";
import { becomeOwner, getSession, logOut } from "./server/session.js";
import { describeTab, showTab } from "./tab.js";
import { describeProblem } from "./text/problems.js";

const host = document.getElementById("main");
let shown = null; // {route, view}
let showing = Promise.resolve();
let finished = null; // the last job that ended while nobody looked

/** @param {string} hash @returns {{name: string, id?: string, line?: string}} */
function parseRoute(hash) {
  const [name, id, line] = hash.replace(/^#\/?/, "").split("/").map(decodePart);
  return name === "t" && id ? { name: "editor", id, line } : { name: "home" };
}

function decodePart(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function mountRoute(route) {
  if (route.name === "home") return mountHome(host);
  const { mount } = await import("./editor/view.js");
  return mount(host, { id: route.id, line: route.line });
}

async function show(route) {
  const isSamePlace = shown && shown.route.name === route.name && shown.route.id === route.id;
  if (isSamePlace && (route.name === "home" || shown.view.update)) {
    shown.route = route;
    shown.view.update?.(route);
    return;
  }
  await shown?.view.unmount();
  shown = null;
  host.replaceChildren();
  host.dataset.view = route.name;
  scrollTo(0, 0);
  try {
    shown = { route, view: await mountRoute(route) };
  } catch (error) {
    shown = { route, view: mountProblem(error) };
  }
  if (!host.contains(document.activeElement)) host.focus({ preventScroll: true }); // a view may have chosen a place
  announce(shown.view.title);
  updateTab();
}

function mountProblem(error, remedyButton = element("a", { class: "button", href: "#/" }, "All transcripts")) {
  const { title, remedy } = describeProblem(error);
  host.replaceChildren(element("div", { class: "empty" }, icon("alert"), element("h1", {}, title), element("p", {}, remedy), remedyButton));
  return { title, unmount() {} };
}

async function takeDrop(dropped) {
  if (shown?.route.name !== "home") {
    location.hash = "#/";
    await new Promise((resolve) => addEventListener("hashchange", resolve, { once: true }));
    await showing;
  }
  shown.view.add?.(dropped);
}

let recording = false; // the microphone

function updateTab() {
  const current = shown?.route.name === "editor" ? records.get(shown.route.id) : null;
  const running = records.all.find(({ state }) => state === "working") ?? records.all.find(({ state }) => state === "waiting");
  showTab(describeTab({ title: current?.title ?? shown?.view.title ?? "", recording, current, running: running ?? null, upload: intake.uploading, finished }));
}

function noticeEnd({ detail }) {
  if (hasJustEnded(detail) && document.hidden) finished = detail.record;
  updateTab();
}

function buildTools(session) {
  const theme = element("button", { class: "quiet icon-button", "aria-label": "Theme" }, icon("light"));
  const tools = [menu(theme, () => ["System", "Light", "Dark"].map(themeItem))];
  if (session.needs_password) {
    tools.push(element("button", { class: "quiet", onclick: leave }, icon("logout"), "Log out"));
  }
  document.getElementById("header-tools").replaceChildren(...tools);
}

function themeItem(label) {
  const value = label.toLowerCase();
  const chosen = document.documentElement.dataset.theme ?? "system";
  return { label, icon: value, checked: chosen === value, run: () => chooseTheme(value) };
}

function chooseTheme(value) {
  if (value === "system") {
    localStorage.removeItem("theme");
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem("theme", value);
    document.documentElement.dataset.theme = value;
  }
}

async function leave() {
  try {
    await logOut();
    location.reload();
  } catch (error) {
    toast(describeProblem(error).title);
  }
}

let lost = 0; // a timer: a connection that is back at once is no news

function showConnection({ connected }) {
  if (!connected) {
    lost ||= setTimeout(showLostConnection, 3000); // each attempt fails anew
    return;
  }
  clearTimeout(lost);
  lost = 0;
  document.getElementById("notices").replaceChildren();
}

function showLostConnection() {
  const notice = element("p", { class: "notice" }, icon("alert"), "Connection lost. Reconnecting…");
  document.getElementById("notices").replaceChildren(notice);
}

/** Take the link that the server printed for its owner. */
async function enter() {
  const code = location.hash.match(/^#\/enter\/([\w-]+)$/)?.[1];
  if (!code) return;
  history.replaceState(null, "", "#/");
  try {
    await becomeOwner(code);
  } catch (error) {
    toast(describeProblem(error).title);
  }
}

let session;

async function start() {
  try {
    session = await getSession();
    if (!session.admitted) session = await mountLogIn(host);
    await enter();
    buildTools(session);
    intake.limits = session.limits;
    loadOptions(); // meanwhile
    await records.start();
  } catch (error) {
    mountProblem(error, element("button", { type: "button", class: "primary", onclick: () => location.reload() }, "Try again"));
    return;
  }
  subscribe("connection", showConnection);
  records.addEventListener("change", noticeEnd);
  intake.addEventListener("change", updateTab);
  addEventListener("recording", ({ detail }) => { recording = detail; updateTab(); });
  notifyOfEnds();
  catchDrops(document.body.appendChild(element("div", { class: "drop-overlay", hidden: true }, icon("upload"), "Drop to add")), takeDrop);
  // One after the other: a view may still be loading when the next one is asked for.
  const follow = () => { showing = showing.then(() => show(parseRoute(location.hash))); };
  addEventListener("hashchange", follow);
  follow();
}

document.querySelector(".skip-link").addEventListener("click", (event) => {
  event.preventDefault(); // its address would be taken for a view's
  host.focus();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  finished = null;
  updateTab();
});
addEventListener("password-needed", () => { if (session?.admitted) location.reload(); });
start();
