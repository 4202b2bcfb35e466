import { element } from "../dom.js";

/** The first view. */
export function mountHome(host) {
  host.replaceChildren(element("h1", {}, "Transcripts"));
  return { title: "Transcripts", unmount() {} };
}
