// What the first view needs, asked for while the page's other modules are still on their way.

import { askAhead } from "./server/client.js";
import { loadView, parseRoute } from "./views.js";

const { name, id } = parseRoute(location.hash);
const nothing = () => {}; // who takes the answer says what is wrong

loadView(name).catch(nothing);
const becomesOwner = location.hash.startsWith("#/enter/"); // and has other transcripts then
askAhead("session").then(({ admitted }) => {
  if (!admitted || becomesOwner) return;
  askAhead("transcripts").catch(nothing);
  askAhead(name === "editor" ? `transcripts/${encodeURIComponent(id)}/document` : "options").catch(nothing);
}).catch(nothing);
