// The panel beside the lines: speakers, find and replace, or the review of unsure words; one at a time.

import { element, icon, iconButton } from "../dom.js";
import { mountReview } from "./confidence.js";
import { mountFind } from "./find.js";
import { mountSpeakers } from "./speakers.js";

const PANELS = {
  speakers: { title: "Speakers", label: "Speakers", icon: "users", mount: mountSpeakers },
  find: { title: "Find and replace", label: "Find", icon: "search", mount: mountFind },
  review: { title: "Unsure words", label: "Unsure words", icon: "alert", mount: mountReview },
};

export class SidePanel {
  /** @type {{unmount: () => void, focus: () => void}|null} the panel that is open */ open = null;
  #name = null;

  /**
   * @param {Object} parts that the panels need.
   * @param {() => void} makeRoom called before a panel opens: it is beside the lines.
   */
  constructor(parts, makeRoom) {
    this.parts = parts;
    this.makeRoom = makeRoom;
    this.heading = element("h2", {});
    this.body = element("div", { class: "panel-body" });
    this.root = element("section", { class: "editor-panel", "aria-label": "Panel", hidden: true },
      element("div", { class: "panel-head" }, this.heading, iconButton("Close panel", "close", () => this.close())),
      this.body);
    this.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.preventDefault();
      this.close();
    });
    this.buttons = Object.entries(PANELS).map(([name, panel]) =>
      element("button", { type: "button", class: "quiet", "aria-expanded": "false", "data-panel": name, title: panel.title, onclick: () => this.toggle(name) },
        icon(panel.icon), element("span", { class: "tool-label" }, panel.label)));
  }

  /** @param {"speakers"|"find"|"review"} name */
  toggle(name) {
    if (this.#name === name) this.close();
    else this.show(name);
  }

  show(name) {
    if (this.#name !== name) {
      this.close();
      this.makeRoom();
      this.#name = name;
      this.heading.textContent = PANELS[name].title;
      this.root.setAttribute("aria-label", PANELS[name].title);
      this.root.hidden = false;
      this.root.parentElement?.classList.add("with-panel");
      this.open = PANELS[name].mount(this.body, { ...this.parts, close: () => this.close() });
      this.#draw();
    }
    this.open.focus();
  }

  close() {
    if (!this.open) return;
    const hadFocus = this.root.contains(document.activeElement);
    const button = this.buttons.find((one) => one.dataset.panel === this.#name);
    this.open.unmount();
    this.open = null;
    this.#name = null;
    this.body.replaceChildren();
    this.root.hidden = true;
    this.root.parentElement?.classList.remove("with-panel");
    this.#draw();
    if (hadFocus) button.focus();
  }

  #draw() {
    for (const button of this.buttons) button.setAttribute("aria-expanded", String(button.dataset.panel === this.#name));
  }
}
