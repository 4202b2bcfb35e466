// The page: who is admitted, which view is shown (by the address after #), and what the tab's title and icon tell.

import { announce, element, icon, iconButton, menu, toast } from "./dom.js";
import { catchDrops } from "./home/drop.js";
import { intake } from "./home/intake.js";
import { notifyOfEnds } from "./home/notifications.js";
import { forgetUnsaved, unsavedTranscripts } from "./model/unsaved.js";
import { subscribe } from "./server/events.js";
import { hasJustEnded, records } from "./server/records.js";
import { becomeOwner, getSession, logOut } from "./server/session.js";
import { browserStore } from "./storage.js";
import { describeTab, showTab } from "./tab.js";
import { describeProblem } from "./text/problems.js";
import { loadView, parseRoute } from "./views.js";

const host = document.getElementById("main");
let shown = null; // {route, view}
let showing = Promise.resolve();
let interrupt = () => {}; // stops waiting for a view that is still loading
let finished = null; // the last job that ended while nobody looked

async function mountRoute(place, route) {
  const { mount } = await loadView(route.name);
  return mount(place, route);
}

async function show(route) {
  const isSamePlace = shown && shown.route.name === route.name && shown.route.id === route.id;
  if (isSamePlace && (route.name === "home" || shown.view.update)) {
    shown.route = route;
    shown.view.update?.(route);
    return;
  }
  await leaveView();
  // Each view has a place of its own: what comes too late for one does not appear in the next.
  const place = element("div", { class: "view" });
  host.replaceChildren(place);
  host.dataset.view = route.name;
  scrollTo(0, 0);
  const mounting = mountRoute(place, route).catch((error) => mountProblem(place, error));
  const view = await Promise.race([mounting, new Promise((resolve) => { interrupt = resolve; })]);
  if (!view) {
    mounting.then((late) => late.unmount());
    return;
  }
  shown = { route, view };
  if (!host.contains(document.activeElement)) host.focus({ preventScroll: true }); // a view may have chosen a place
  announce(shown.view.title);
  updateTab();
}

/** What is being typed is kept, and nothing that belongs to the view stays open. */
async function leaveView() {
  endTyping();
  for (const dialog of document.querySelectorAll("#dialogs dialog")) dialog.close("");
  for (const toasted of document.querySelectorAll(".toast:has(.action)")) toasted.remove();
  await shown?.view.unmount();
  shown = null;
}

const endTyping = () => document.activeElement?.blur();

function mountProblem(place, error, remedyButton = element("a", { class: "button", href: "#/" }, "All transcripts")) {
  const { title, remedy } = describeProblem(error);
  place.replaceChildren(element("div", { class: "empty" }, icon("alert"), element("h1", {}, title), element("p", {}, remedy), remedyButton));
  return { title, unmount() {} };
}

async function takeDrop(dropped) {
  if (parseRoute(location.hash).name !== "home") {
    location.hash = "#/";
    await new Promise((resolve) => addEventListener("hashchange", resolve, { once: true }));
  }
  await showing;
  shown?.view.add?.(dropped);
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
  const tools = [menu(iconButton("Theme", "light"), () => ["System", "Light", "Dark"].map(themeItem))];
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
  const isChosen = value !== "system";
  browserStore.set("theme", isChosen ? value : null);
  if (isChosen) document.documentElement.dataset.theme = value;
  else delete document.documentElement.dataset.theme;
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
  clearTimeout(lost);
  if (connected) document.getElementById("notices").replaceChildren();
  else lost = setTimeout(showLostConnection, 3000);
}

function showLostConnection() {
  const notice = element("p", { class: "notice" }, icon("alert"), "Connection lost. Reconnecting…");
  document.getElementById("notices").replaceChildren(notice);
}

async function saveLeftOver() {
  if (!unsavedTranscripts().size) return;
  const { saveLeftOver: save } = await import("./model/left_over.js");
  await save();
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

async function askForPassword() {
  const { mountLogIn } = await import("./log_in.js");
  return mountLogIn(host);
}

let session;

async function start() {
  try {
    session = await getSession();
    if (!session.admitted) session = await askForPassword();
    await enter();
    buildTools(session);
    intake.limits = session.limits;
    await records.start();
  } catch (error) {
    mountProblem(host, error, element("button", { type: "button", class: "primary", onclick: () => location.reload() }, "Try again"));
    return;
  }
  records.addEventListener("change", noticeEnd);
  records.addEventListener("change", ({ detail: { record, before } }) => { if (!record) forgetUnsaved(before.id); });
  intake.addEventListener("change", updateTab);
  addEventListener("recording", ({ detail }) => { recording = detail; updateTab(); });
  notifyOfEnds();
  catchDrops(document.body.appendChild(element("div", { class: "drop-overlay", hidden: true }, icon("upload"), "Drop to add")), takeDrop);
  // One after the other: a view may still be loading when the next one is asked for.
  const follow = () => {
    interrupt();
    showing = showing.then(() => show(parseRoute(location.hash)));
  };
  addEventListener("hashchange", follow);
  follow();
  await showing;
  records.follow();
  subscribe("connection", showConnection);
  subscribe("hello", saveLeftOver);
}

document.querySelector(".skip-link").addEventListener("click", (event) => {
  event.preventDefault(); // its address would be taken for a view's
  host.focus();
});
for (const name of ["beforeunload", "pagehide"]) addEventListener(name, endTyping); // before others ask what is unsaved
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  finished = null;
  updateTab();
});
addEventListener("password-needed", () => { if (session?.admitted) location.reload(); });
start();
