// Which view an address shows, and what has to be loaded for it.

import { ServerError } from "./server/client.js";

/** @typedef {{name: "home"|"editor"|"live", id?: string, line?: string}} Route */

const VIEWS = {
  home: { load: () => import("./home/view.js"), styles: [] },
  editor: { load: () => import("./editor/view.js"), styles: ["editor", "waveform", "subtitles", "keys", "print"] },
  live: { load: () => import("./live/view.js"), styles: ["live"] },
};

/**
 * @param {string} hash of the address: "#/", "#/live", "#/t/ID" or "#/t/ID/LINE".
 * @returns {Route}
 */
export function parseRoute(hash) {
  const [name, id, line] = hash.replace(/^#\/?/, "").split("/").map(decodePart);
  if (name === "t" && id) return { name: "editor", id, line };
  return { name: name === "live" ? "live" : "home" };
}

function decodePart(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * Load a view's modules and styles, if they are not there yet.
 *
 * @param {"home"|"editor"|"live"} name
 * @returns {Promise<{mount: (host: HTMLElement, route: Route) => Promise<Object>}>} the view's module.
 * @throws {ServerError} the server cannot be reached.
 */
export async function loadView(name) {
  const { load, styles } = VIEWS[name];
  try {
    const [module] = await Promise.all([load(), ...styles.map(loadStyle)]);
    return module;
  } catch (error) {
    // What a browser says of a module that did not come is nothing for people.
    throw error instanceof TypeError ? new ServerError(0, "unreachable", "the server cannot be reached") : error;
  }
}

const loading = new Map(); // styles by name

function loadStyle(name) {
  if (!loading.has(name)) loading.set(name, addStyle(name));
  loading.get(name).catch(() => loading.delete(name)); // asked for again, it is loaded again
  return loading.get(name);
}

function addStyle(name) {
  const link = document.createElement("link");
  return new Promise((resolve, reject) => {
    link.onload = resolve;
    link.onerror = () => {
      link.remove();
      reject(new TypeError(`the style ${name} cannot be loaded`));
    };
    link.rel = "stylesheet";
    link.href = new URL(`../styles/${name}.css`, import.meta.url).href;
    document.head.append(link);
  });
}
