// A list of languages that is searched as one types, by English and native names.

import { element } from "../dom.js";
import { LANGUAGES, describeLanguage, findLanguages } from "../text/languages.js";

const AUTO = { code: "", label: "Auto-detect" };

/**
 * @param {string} id of the field.
 * @returns {{control: HTMLElement, get: () => string, set: (code: string) => void}} the value is a code; "" to detect.
 */
export function languageField(id) {
  let chosen = AUTO;
  let choices = [];
  let active = -1;
  const listId = `${id}-list`;
  const input = element("input", { id, type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": listId });
  const list = element("ul", { id: listId, class: "options-list", role: "listbox", "aria-label": "Languages", hidden: true });
  const control = element("div", { class: "combobox" }, input, list);

  const entry = (language) => ({ code: language.code, label: describeLanguage(language) });
  const isAuto = (text) => AUTO.label.toLowerCase().includes(text.toLowerCase());
  const found = (text) => (text ? [...(isAuto(text) ? [AUTO] : []), ...findLanguages(text).map(entry)] : [AUTO, ...LANGUAGES.map(entry)]);

  function show(text) {
    choices = found(text);
    active = text ? 0 : choices.findIndex(({ code }) => code === chosen.code);
    list.replaceChildren(...choices.map(row));
    if (!choices.length) list.replaceChildren(element("li", { class: "muted", role: "option", "aria-disabled": "true", "aria-selected": "false" }, "No such language"));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark();
  }

  function row({ code, label }, index) {
    const take = (event) => { event.preventDefault(); choose(choices[index]); };
    return element("li", { id: `${listId}-${index}`, role: "option", "aria-selected": String(code === chosen.code), onpointerdown: (event) => event.preventDefault(), onclick: take }, label);
  }

  function mark() {
    for (const [index, one] of [...list.children].entries()) one.classList.toggle("active", index === active);
    if (choices[active]) input.setAttribute("aria-activedescendant", `${listId}-${active}`);
    else input.removeAttribute("aria-activedescendant");
    list.children[active]?.scrollIntoView({ block: "nearest" });
  }

  function hide() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    input.value = chosen.label;
  }

  function choose(one) {
    chosen = one ?? chosen;
    hide();
    control.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function onKey(event) {
    const isOpen = !list.hidden;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (!isOpen) show("");
      else { active = Math.max(0, Math.min(choices.length - 1, active + step)); mark(); }
    } else if (event.key === "Enter" && isOpen) {
      event.preventDefault();
      choose(choices[active]);
    } else if (event.key === "Escape" && isOpen) {
      event.stopPropagation();
      hide();
    }
  }

  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => { if (list.hidden) show(""); });
  input.addEventListener("input", () => show(input.value.trim()));
  input.addEventListener("keydown", onKey);
  input.addEventListener("change", (event) => event.stopPropagation()); // the field's own comes when one is chosen
  input.addEventListener("blur", () => {
    // A name that was typed in full counts without Enter.
    const typed = findLanguages(input.value);
    if (!list.hidden && input.value.trim() && input.value !== chosen.label && typed.length === 1) choose(entry(typed[0]));
    else hide();
  });
  hide();
  return {
    control,
    get: () => chosen.code,
    set: (code) => {
      chosen = found("").find((one) => one.code === code) ?? AUTO;
      hide();
    },
  };
}
