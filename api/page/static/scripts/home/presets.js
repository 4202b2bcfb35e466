// Presets: named values of the form's options, kept in this browser.

import { element, iconButton, menu, openDialog, toast } from "../dom.js";
import { browserStore } from "../storage.js";

const STORED_AS = "worker-whisper-presets";
const CHOSEN_AS = "worker-whisper-preset";
const MOST_CHARACTERS = 60;

const readAll = () => new Map(browserStore.get(STORED_AS) ?? []);
const storeAll = (presets) => browserStore.set(STORED_AS, [...presets]);

/**
 * @param {ReturnType<typeof import("./option_fields.js").optionFields>} fields whose values are kept.
 * @returns {HTMLElement} a list of presets, and a menu to save, rename and delete them.
 */
export function presetRow(fields) {
  const defaults = fields.values();
  const select = element("select", { id: "preset", onchange: () => choose(select.value) });
  const more = menu(iconButton("Presets", "more"), items);

  function draw() {
    const chosen = browserStore.get(CHOSEN_AS) ?? "";
    const presets = readAll();
    select.replaceChildren(element("option", { value: "" }, "None"), ...[...presets.keys()].map((name) => element("option", { value: name }, name)));
    select.value = presets.has(chosen) ? chosen : "";
  }

  function choose(name) {
    browserStore.set(CHOSEN_AS, name);
    fields.set(readAll().get(name) ?? defaults);
    draw();
  }

  function items() {
    const name = select.value;
    const ofChosen = [
      { label: `Update “${name}”`, icon: "save", run: () => save(name) },
      { label: "Rename…", icon: "edit", run: () => rename(name) },
      { label: "Delete", icon: "trash", danger: true, run: () => remove(name) },
    ];
    return [{ label: "Save as preset…", icon: "plus", run: saveAs }, ...(name ? ofChosen : [])];
  }

  async function saveAs() {
    const name = await askName("Save as preset", "");
    if (name) save(name);
  }

  function save(name) {
    storeAll(readAll().set(name, fields.values()));
    browserStore.set(CHOSEN_AS, name);
    draw();
    toast(`Preset “${name}” saved.`);
  }

  async function rename(before) {
    const name = await askName("Rename preset", before);
    if (!name || name === before) return;
    storeAll(new Map([...readAll()].map(([one, values]) => [one === before ? name : one, values])));
    browserStore.set(CHOSEN_AS, name);
    draw();
  }

  function remove(name) {
    const presets = readAll();
    const values = presets.get(name);
    presets.delete(name);
    storeAll(presets);
    choose("");
    toast(`Preset “${name}” deleted.`, { label: "Undo", run: () => { storeAll(readAll().set(name, values)); choose(name); } });
  }

  draw();
  if (select.value) fields.set(readAll().get(select.value));
  return element("div", { class: "preset-row" }, element("label", { class: "field-label", for: "preset" }, "Preset"), select, more);
}

async function askName(title, before) {
  const input = element("input", { id: "preset-name", type: "text", maxlength: MOST_CHARACTERS, value: before, autocomplete: "off", autofocus: true });
  const error = element("p", { class: "field-error", role: "alert" });
  const check = () => {
    const name = input.value.trim();
    const isTaken = name !== before && readAll().has(name);
    error.textContent = !name ? "Enter a name." : isTaken ? "There is a preset of that name. Choose another name." : "";
    return !error.textContent;
  };
  const body = element("div", { class: "field" }, element("label", { class: "field-label", for: "preset-name" }, "Name"), input, error);
  const answer = await openDialog(title, body, [{ label: "Cancel", value: "" }, { label: "Save", value: "save", kind: "primary", check }]);
  return answer === "save" ? input.value.trim() : null;
}
