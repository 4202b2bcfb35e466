// The panel that finds and replaces: each match with its context, and which of them are replaced.

import { announce, element } from "../dom.js";
import { findMatches, MOST_MATCHES, replaced } from "../model/search.js";
import { formatClock } from "../text/clock.js";
import { formatCount } from "../text/counts.js";
import { undoToast } from "./undo_toast.js";

const PAUSE_MS = 200;
const LONGEST_SEARCH_MS = 3000;
const SHOWN_AT_ONCE = 100;
const CONTEXT_CHARACTERS = 30;

/**
 * @param {HTMLElement} host
 * @param {{document: import("../model/document.js").Document, list: import("./lines.js").LineList}} parts
 * @returns {{unmount: () => void, focus: () => void}}
 */
export function mountFind(host, { document: transcript, list }) {
  const ended = new AbortController();
  let matches = [];
  let skipped = new Set(); // keys of matches that are not to be replaced
  let shown = SHOWN_AT_ONCE;
  let timer = 0;
  let search = null;

  const soon = () => { clearTimeout(timer); timer = setTimeout(run, PAUSE_MS); };
  const field = (label) => {
    const input = element("input", { type: "text", autocomplete: "off", spellcheck: "false", maxlength: "1000", oninput: soon });
    return { input, root: element("label", { class: "field" }, element("span", { class: "field-label" }, label), input) };
  };
  const check = (label) => {
    const input = element("input", { type: "checkbox", onchange: soon });
    return { input, root: element("label", { class: "check" }, input, label) };
  };
  const [find, replacement] = [field("Find"), field("Replace with")];
  const [matchCase, wholeWords, expression] = [check("Match case"), check("Whole words"), check("Regular expression")];
  const summary = element("p", { class: "muted small", role: "status" });
  const results = element("ul", { class: "matches", "aria-label": "Matches" });
  const more = element("button", { type: "button", hidden: true, onclick: () => { shown += SHOWN_AT_ONCE; draw(); } }, "Show more");
  const replace = element("button", { type: "button", class: "primary", disabled: true, onclick: () => replaceChosen() }, "Replace");
  find.input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    results.querySelector("button")?.focus();
  });
  host.append(element("div", { class: "stack" }, find.root, replacement.root,
    element("div", { class: "checks" }, matchCase.root, wholeWords.root, expression.root), summary, replace, results, more));
  transcript.addEventListener("change", soon, { signal: ended.signal });

  async function run() {
    const query = {
      text: find.input.value, replacement: replacement.input.value,
      matchCase: matchCase.input.checked, wholeWords: wholeWords.input.checked, isExpression: expression.input.checked,
    };
    const lines = transcript.lines.map((line) => ({ id: line.id, text: transcript.textOf(line) }));
    search?.abort();
    search = new AbortController();
    const { signal } = search;
    const found = query.isExpression ? await runInWorker(lines, query, signal) : { matches: findMatches(lines, query) };
    if (signal.aborted || ended.signal.aborted) return;
    matches = found.matches ?? [];
    find.input.setAttribute("aria-invalid", String(found.problem !== undefined));
    const asked = JSON.stringify({ ...query, replacement: "" });
    if (asked !== results.dataset.query) {
      skipped = new Set();
      shown = SHOWN_AT_ONCE;
      results.dataset.query = asked;
    }
    draw(found.problem);
  }

  function draw(problem) {
    const chosen = chosenMatches();
    const number = matches.length === MOST_MATCHES ? `The first ${MOST_MATCHES.toLocaleString("en")} matches` : formatCount(matches.length, "match", "matches");
    summary.textContent = problem ?? (find.input.value === "" ? "" : matches.length ? `${number}, ${chosen.length} chosen` : "No matches");
    replace.disabled = chosen.length === 0;
    replace.textContent = chosen.length ? `Replace ${chosen.length.toLocaleString("en")}` : "Replace";
    const focused = results.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    results.replaceChildren(...matches.slice(0, shown).map(item));
    if (focused) [...results.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused)?.focus();
    more.hidden = matches.length <= shown;
  }

  function item(match) {
    const line = transcript.get(match.id);
    const text = transcript.textOf(line);
    const key = keyOf(match);
    const toggle = ({ target }) => {
      if (target.checked) skipped.delete(key);
      else skipped.add(key);
      draw();
    };
    const isReplaced = !skipped.has(key) && replacement.input.value !== "";
    const before = text.slice(Math.max(0, match.start - CONTEXT_CHARACTERS), match.start);
    const after = text.slice(match.end, match.end + CONTEXT_CHARACTERS);
    const found = text.slice(match.start, match.end);
    const label = `${found} at ${formatClock(line.start)}`;
    return element("li", { class: "match" },
      element("input", { type: "checkbox", "aria-label": `Replace ${label}`, "data-key": `${key} box`, checked: !skipped.has(key), onchange: toggle }),
      element("button", { type: "button", class: "quiet match-text", "data-key": key, onclick: () => list.show(match.id, { focus: true, place: 0.3 }) },
        element("span", { class: "match-time" }, formatClock(line.start)),
        element("span", { dir: "auto" }, match.start > CONTEXT_CHARACTERS && "…", before,
          isReplaced ? [element("del", {}, found), " ", element("ins", {}, match.replacement)] : element("mark", {}, found),
          after, match.end + CONTEXT_CHARACTERS < text.length && "…")));
  }

  function chosenMatches() {
    return matches.filter((match) => !skipped.has(keyOf(match)));
  }

  function replaceChosen() {
    const byLine = Map.groupBy(chosenMatches(), (match) => match.id);
    const texts = [...byLine].map(([id, ofLine]) => ({ id, text: replaced(transcript.textOf(transcript.get(id)), ofLine) }));
    const number = chosenMatches().length;
    transcript.replaceAll(texts);
    const said = `${formatCount(number, "replacement")} in ${formatCount(byLine.size, "line")}`;
    undoToast(transcript, said);
    announce(said);
    find.input.focus();
  }

  return {
    unmount() {
      clearTimeout(timer);
      search?.abort();
      ended.abort();
    },
    focus() {
      find.input.focus();
      find.input.select();
    },
  };
}

const WORKER = new URL("../model/search_worker.js", import.meta.url).href;

/** The page's policy takes a script's address only from a named policy, where a browser knows such. */
const policy = globalThis.trustedTypes?.createPolicy("search-worker", { createScriptURL: () => WORKER });
const workerAddress = () => policy?.createScriptURL("") ?? WORKER;

/** @returns {Promise<{matches?: import("../model/search.js").Match[], problem?: string}>} */
function runInWorker(lines, query, signal) {
  if (query.text === "") return Promise.resolve({ matches: [] });
  const worker = new Worker(workerAddress(), { type: "module" });
  return new Promise((resolve) => {
    const settle = (found) => { worker.terminate(); clearTimeout(limit); resolve(found); };
    const limit = setTimeout(() => settle({ problem: "This expression takes too long. Try a simpler one." }), LONGEST_SEARCH_MS);
    worker.onmessage = ({ data }) => settle(data.problem ? { problem: "This is not a complete regular expression." } : data);
    worker.onerror = () => settle({ problem: "This browser cannot search with regular expressions." });
    signal.addEventListener("abort", () => settle({ matches: [] }));
    worker.postMessage({ lines, query });
  });
}

const keyOf = (match) => `${match.id} ${match.start}`;
