// What the server tells of its own accord. A browser allows few connections to a server, so all tabs share one: the
// tab that holds a lock listens, and passes everything on to the others. When it is closed, the next tab takes over.

import { addressOf } from "./client.js";

const NAMES = ["hello", "record", "removed", "lines", "edited"];
const LONGEST_PAUSE_S = 30;
// Pages under several prefixes of one origin are different servers.
const SHARED_NAME = `worker-whisper-events ${new URL(document.baseURI).pathname}`;

const handlers = new Map();
let channel = null;

/**
 * Be told of an event.
 *
 * @param {"hello"|"record"|"removed"|"lines"|"edited"|"connection"} name "hello" comes at each connection: events may
 *   have been missed before it; "connection" is the page's own: `{connected: boolean}`.
 * @param {(data: any) => void} handler
 * @returns {() => void} ends it.
 */
export function subscribe(name, handler) {
  if (!handlers.has(name)) handlers.set(name, new Set());
  handlers.get(name).add(handler);
  if (!channel) start();
  return () => handlers.get(name).delete(handler);
}

function start() {
  channel = new BroadcastChannel(SHARED_NAME);
  channel.onmessage = ({ data: [name, data] }) => tell(name, data);
  // Plain HTTP from another machine has no locks: there each tab listens for itself.
  if (!navigator.locks) listen(tell);
  else navigator.locks.request(SHARED_NAME, () => new Promise(() => listen(tellAllTabs)));
}

function tell(name, data) {
  for (const handler of handlers.get(name) ?? []) handler(data);
}

function tellAllTabs(name, data) {
  channel.postMessage([name, data]);
  tell(name, data);
}

function listen(pass, failures = 0) {
  const source = new EventSource(addressOf("events"));
  for (const name of NAMES) source.addEventListener(name, ({ data }) => pass(name, JSON.parse(data || "null")));
  source.onopen = () => { failures = 0; pass("connection", { connected: true }); };
  source.onerror = () => {
    // A browser connects again by itself only if the connection broke, not after an answer such as 502.
    pass("connection", { connected: false });
    source.close();
    const pause = Math.min(2 ** failures, LONGEST_PAUSE_S) * (0.5 + Math.random() / 2);
    setTimeout(() => listen(pass, failures + 1), pause * 1000);
  };
}
