// Regular expressions run here: one that never ends is ended with its worker, and the page goes on.

import { findMatches } from "./search.js";

onmessage = ({ data: { lines, query } }) => {
  try {
    postMessage({ matches: findMatches(lines, query) });
  } catch (error) {
    postMessage({ problem: error.message });
  }
};
