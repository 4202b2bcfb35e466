// Elements of the page. Texts only ever become text nodes: a transcript may contain anything that was said.

import { ICONS } from "./icons.js";

/**
 * Make an element.
 *
 * @param {string} tag name, such as "button"; "svg:path" for SVG.
 * @param {Object<string, any>} attributes `class`, ARIA and other attributes; functions are listeners (`onclick`);
 *   `true` sets an attribute without a value; `false`, `null` and `undefined` leave it out.
 * @param {...(Node|string|number|null|false|undefined|Array)} children texts and nodes, in order.
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/**
 * Draw an icon. It has no name: the button around it has one.
 *
 * @param {string} name a key of `ICONS`.
 * @param {string} [extra] further classes.
 * @returns {SVGElement}
 */
export function icon(name, extra = "") {
  return element("svg:svg", { class: `icon ${extra}`.trim(), viewBox: "0 0 24 24", "aria-hidden": "true" },
    element("svg:path", { d: ICONS[name] }));
}

/**
 * Make a button that shows an icon only.
 *
 * @param {string} label its name, which is also its tooltip.
 * @param {string} name of the icon.
 * @param {() => void} [run] runs when it is pressed; a button of a menu needs none.
 * @param {Object<string, any>} [attributes] further attributes, or others in place of these.
 * @returns {HTMLElement}
 */
export function iconButton(label, name, run, attributes = {}) {
  return element("button", { type: "button", class: "quiet icon-button", "aria-label": label, title: label, onclick: run, ...attributes }, icon(name));
}

/**
 * Tell screen readers something that is seen elsewhere on the page.
 *
 * @param {string} text one short sentence.
 */
export function announce(text) {
  const region = document.getElementById("announcements");
  region.textContent = "";
  // The same text twice is read twice only if the region was empty in between.
  setTimeout(() => { region.textContent = text; }, 50);
}

/**
 * Ask or show something in a modal dialog. Esc and the button in its corner close it.
 *
 * @param {string} title its heading.
 * @param {Node|string|Array<Node|string>} content its body; a field with `autofocus` gets the focus.
 * @param {Array<{label: string, value: string, kind?: "primary"|"danger", check?: () => boolean}>} [actions] its
 *   buttons, in order; Enter in a field takes the last one; `check` keeps the dialog open by returning false.
 * @param {{wide?: boolean}} [look] `wide` for tables.
 * @returns {Promise<string|null>} the value of the button, or null if it was closed otherwise.
 */
export function openDialog(title, content, actions = [], { wide = false } = {}) {
  const last = actions.at(-1);
  const take = (action) => { if (action.check?.() ?? true) dialog.close(action.value); };
  const buttons = actions.map((action) =>
    element("button", { type: "button", class: action.kind, onclick: () => take(action) }, action.label));
  const dialog = element("dialog", { class: wide && "wide", "aria-label": title },
    element("form", { class: "dialog-form", onsubmit: (event) => { event.preventDefault(); if (last) take(last); } },
      element("div", { class: "dialog-head" },
        element("h2", {}, title),
        iconButton("Close", "close", () => dialog.close(""))),
      element("div", { class: "dialog-body" }, content),
      actions.length > 0 && element("div", { class: "dialog-actions" }, buttons)));
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue || null);
    });
    document.getElementById("dialogs").append(dialog);
    dialog.showModal();
    (dialog.querySelector("[autofocus]") ?? buttons.at(-1))?.focus();
  });
}

const TOAST_SECONDS = 8;

/**
 * Show a message at the bottom of the page for some seconds, longer while it is pointed at or has the focus.
 *
 * @param {string} text one sentence.
 * @param {{label: string, run: () => void}} [action] one button, such as Undo.
 * @returns {() => void} takes the message away.
 */
export function toast(text, action) {
  const close = () => shown.remove();
  const run = () => { close(); action.run(); };
  const shown = element("div", { class: "toast" },
    element("span", {}, text),
    action && element("button", { type: "button", class: "action", onclick: run }, action.label),
    iconButton("Dismiss", "close", close));
  const wait = () => {
    if (shown.matches(":hover, :focus-within")) setTimeout(wait, 1000);
    else close();
  };
  setTimeout(wait, TOAST_SECONDS * 1000);
  document.getElementById("toasts").append(shown);
  return close;
}

/**
 * @typedef {{label: string, run: () => void, icon?: string, keys?: string, hint?: string, checked?: boolean,
 *   disabled?: boolean, danger?: boolean}} MenuItem `hint` says what it is for; `checked` makes a choice of it.
 */

/**
 * Make a button open a menu. Arrow keys walk it, Esc closes it.
 *
 * @param {HTMLElement} button opens it.
 * @param {() => Array<MenuItem|{heading?: string, items: MenuItem[]}>} items asked each time it opens.
 * @returns {HTMLElement} the button.
 */
export function menu(button, items) {
  let list = null;
  const close = () => list?.hidePopover();
  const choose = (item) => { close(); button.focus(); item.run(); };
  const open = () => {
    list = element("div", { class: "menu", role: "menu", popover: "auto", "aria-label": button.getAttribute("aria-label") ?? button.textContent },
      items().map((item) => (item.items ? menuGroup(item, choose) : menuItem(item, choose))));
    list.addEventListener("keydown", walkMenu);
    list.addEventListener("toggle", (event) => {
      if (event.newState !== "closed") return;
      button.setAttribute("aria-expanded", "false");
      event.target.remove();
      list = null;
    });
    // Inside a dialog the menu has to be a part of it: what is outside is inert. Elsewhere it is a part of its landmark.
    (button.closest("dialog, main, header") ?? document.getElementById("dialogs")).append(list);
    list.showPopover();
    placeBeside(list, button);
    button.setAttribute("aria-expanded", "true");
    const first = list.querySelector("button:not(:disabled)");
    first?.setAttribute("tabindex", "0"); // a menu that scrolls has to hold something that Tab reaches
    first?.focus();
  };
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  // A press closes an open menu by itself; the click that follows must not open it again.
  let wasOpen = false;
  button.addEventListener("pointerdown", () => { wasOpen = list !== null; });
  button.addEventListener("click", () => { if (!wasOpen) open(); wasOpen = false; });
  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    open();
  });
  return button;
}

function menuGroup({ heading, items }, choose) {
  return element("div", { role: "group", class: "menu-group", "aria-label": heading },
    heading && element("div", { class: "menu-heading", "aria-hidden": "true" }, heading),
    items.map((item) => menuItem(item, choose)));
}

function menuItem(item, choose) {
  const isChoice = item.checked !== undefined;
  return element("button", {
    type: "button", role: isChoice ? "menuitemradio" : "menuitem", tabindex: "-1", "aria-checked": isChoice ? item.checked : null,
    class: item.danger && "danger", disabled: item.disabled, onclick: () => choose(item),
  }, item.icon && icon(item.icon), item.label, item.checked && icon("check"), (item.keys || item.hint) && element("span", { class: "keys" }, item.keys ?? item.hint));
}

function walkMenu(event) {
  const entries = [...event.currentTarget.querySelectorAll("button:not(:disabled)")];
  const at = entries.indexOf(document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (event.key === "Tab") event.currentTarget.hidePopover();
  if (next === undefined) return;
  event.preventDefault();
  entries.at(next % entries.length)?.focus();
}

function placeBeside(list, button) {
  const margin = 8;
  const at = button.getBoundingClientRect();
  const { width, height } = list.getBoundingClientRect();
  const isBelow = at.bottom + height + margin <= innerHeight || at.top < height;
  list.style.setProperty("left", `${Math.max(margin, Math.min(at.left, document.documentElement.clientWidth - width - margin))}px`);
  list.style.setProperty("top", `${isBelow ? Math.min(at.bottom + 4, Math.max(margin, innerHeight - height - margin)) : at.top - height - 4}px`);
}
