// The form's options, drawn from the groups of `text/options.js`.

import { element, icon } from "../dom.js";
import { parseClock, formatClock } from "../text/clock.js";
import { readText, stripTimes } from "../text/given_text.js";
import { groupsFor, parseAdvanced, toOptions } from "../text/options.js";
import { languageField } from "./language_field.js";

const MOST_TEXT_CHARACTERS = 1_000_000; // the worker's

/**
 * @param {{models: string[], schemas: Object<string, Object>}} known as the server tells them.
 * @returns {{body: HTMLElement, read: () => {options: Object<string, any>, error: string}, values: () => Object<string, any>,
 *   set: (values: Object<string, any>) => void, clearOnce: () => void, useFor: (isConversation: boolean) => void}} `read`
 *   checks all fields, and shows and focuses the first wrong one; `values` are what a preset keeps; `clearOnce` empties the
 *   fields that are for one recording; `useFor` switches those off that do not go with tracks of a conversation.
 */
export function optionFields(known) {
  const fields = groupsFor(known).map(({ title, fields: some }) => ({ title, fields: some.map((field) => buildField(field, known)) }));
  const advanced = buildAdvanced(known.schemas);
  const all = [...fields.flatMap((group) => group.fields), advanced];
  const [first, ...others] = fields;
  const body = element("div", { class: "options stack" },
    element("div", { class: "option-grid" }, first.fields.map(({ body: one }) => one)),
    element("details", {}, element("summary", {}, icon("chevron", "turns"), "More options"),
      others.map(({ title, fields: some }) => groupOf(title, some)), groupOf("Advanced", [advanced])));

  const kept = all.filter(({ once }) => !once);
  const valuesOf = (some) => Object.fromEntries(some.map(({ name, get }) => [name, get()]));
  const values = () => valuesOf(all.filter(({ isOff }) => !isOff));
  const showNeeded = () => {
    const now = values();
    for (const { body: one, needs } of all) if (needs) one.hidden = now[needs[0]] !== needs[1];
  };
  body.addEventListener("change", showNeeded);
  showNeeded();
  return {
    body,
    values: () => valuesOf(kept),
    set: (preset) => {
      for (const { name, set } of kept) set(preset[name]);
      showNeeded();
    },
    useFor: (isConversation) => {
      for (const one of all) if (one.offWithTracks) one.switchOff(isConversation);
      showNeeded();
    },
    clearOnce: () => { for (const { once, set } of all) if (once) set(undefined); },
    read: () => {
      const wrong = all.find(({ check, isOff }) => !isOff && check?.());
      if (!wrong) return { options: toOptions({ ...values(), advanced: advanced.parsed() }), error: "" };
      wrong.body.closest("details")?.setAttribute("open", "");
      wrong.focus();
      return { options: {}, error: wrong.check() };
    },
  };
}

const groupOf = (title, fields) => element("fieldset", {}, element("legend", {}, title), element("div", { class: "option-grid" }, fields.map(({ body }) => body)));

function buildField(field, known) {
  const id = `option-${field.name}`;
  const built = BUILDERS[field.kind](field, id, known);
  const hint = field.hint && element("p", { class: "field-hint", id: `${id}-hint` }, field.hint);
  if (hint) (built.focusable ?? built.control).setAttribute("aria-describedby", hint.id);
  const body = built.isComplete
    ? element("div", { class: "field" }, built.control, hint)
    : element("div", { class: `field ${built.isWide ? "wide" : ""}` }, element("label", { class: "field-label", for: id }, field.label), built.control, hint, built.error);
  return { name: field.name, needs: field.needs, once: field.once, body, focus: () => (built.focusable ?? built.control).focus(), ...withTracks(field, body, built), ...built };
}

function withTracks({ offWithTracks }, body, { control }) {
  if (!offWithTracks) return {};
  const reason = element("p", { class: "field-hint", id: `${control.id}-off`, hidden: true }, offWithTracks);
  body.append(reason);
  return {
    offWithTracks,
    isOff: false,
    switchOff(isOff) {
      this.isOff = isOff;
      control.disabled = isOff;
      reason.hidden = !isOff;
      if (isOff) control.setAttribute("aria-describedby", reason.id);
      else control.removeAttribute("aria-describedby");
    },
  };
}

const BUILDERS = {
  choice: ({ choices }, id) => selectOf(choices, id),
  model: (_, id, { models }) => selectOf([["", `Default (${models[0]})`], ...models.map((model) => [model, model])], id),
  language: (_, id) => {
    const { control, get, set } = languageField(id);
    return { control, focusable: control.querySelector("input"), get, set: (value) => set(value ?? "") };
  },
  check: ({ label }, id) => {
    const control = element("input", { id, type: "checkbox" });
    return {
      isComplete: true, focusable: control, control: element("label", { class: "check" }, control, label),
      get: () => control.checked, set: (value) => { control.checked = Boolean(value); },
    };
  },
  number: ({ min, max, placeholder }, id) => {
    const control = element("input", { id, type: "number", inputmode: "numeric", min, max, step: 1, placeholder });
    const isWrong = () => !control.validity.valid || (control.value !== "" && !Number.isInteger(Number(control.value)));
    const check = () => (isWrong() ? `Enter a whole number from ${min} to ${max}.` : "");
    return withError(control, check, { get: () => (control.value === "" ? "" : Number(control.value)), set: (value) => { control.value = value ?? ""; } });
  },
  line: ({ placeholder, maxlength }, id) => {
    const control = element("input", { id, type: "text", placeholder, maxlength, autocomplete: "off" });
    return { control, get: () => control.value.trim(), set: (value) => { control.value = value ?? ""; } };
  },
  words: ({ placeholder }, id) => {
    const control = element("textarea", { id, rows: 2, placeholder });
    return { control, isWide: true, get: () => control.value.trim(), set: (value) => { control.value = value ?? ""; } };
  },
  text: ({ placeholder }, id) => buildText(placeholder, id),
  range: ({ label }, id) => buildRange(label, id),
};

function selectOf(choices, id) {
  const control = element("select", { id }, choices.map(([value, label]) => element("option", { value }, label)));
  return { control, get: () => control.value, set: (value) => { control.value = choices.some(([one]) => one === value) ? value : choices[0][0]; } };
}

function buildText(placeholder, id) {
  let unreadable = "";
  const text = element("textarea", { id, rows: 4, placeholder, dir: "auto" });
  const file = element("input", { id: `${id}-file`, type: "file", hidden: true, accept: ".txt,.srt,.vtt,.lrc,.md,text/plain", "aria-label": "Choose a file of text" });
  text.addEventListener("input", () => { unreadable = ""; });
  text.addEventListener("change", () => { text.value = stripTimes(text.value); });
  file.addEventListener("change", async (event) => {
    event.stopPropagation(); // until it is read
    const [chosen] = file.files;
    file.value = "";
    unreadable = "";
    try {
      text.value = await readText(chosen);
    } catch {
      unreadable = `${chosen.name} cannot be read: it is neither UTF-8 nor UTF-16 text.`;
    }
    text.dispatchEvent(new Event("change", { bubbles: true }));
  });
  const check = () => {
    if (unreadable) return unreadable;
    if (text.value.length > MOST_TEXT_CHARACTERS) return "Use at most a million characters.";
    return text.value.trim() && !/[\p{L}\p{N}]/u.test(text.value) ? "Enter at least one word." : "";
  };
  const control = element("div", { class: "stack" }, text,
    element("button", { type: "button", onclick: () => file.click() }, icon("file"), "Choose a file of text or subtitles"), file);
  return withError(control, check, { focusable: text, isWide: true, get: () => stripTimes(text.value).trim(), set: (value) => { text.value = value ?? ""; } });
}

function buildRange(label, id) {
  const part = (name, partId) => element("input", { id: partId, type: "text", inputmode: "numeric", placeholder: name === "from" ? "From start" : "To end", "aria-label": `${label}, ${name}` });
  const [from, to] = [part("from", id), part("to", `${id}-to`)];
  const read = (input) => (input.value.trim() ? parseClock(input.value) : undefined);
  const check = () => {
    const [start, end] = [read(from), read(to)];
    if (start === null || end === null) return "Enter times such as 1:30 or 1:02:03.";
    return end !== undefined && end <= (start ?? 0) ? "The end has to come after the start." : "";
  };
  const control = element("div", { class: "range" }, from, element("span", { "aria-hidden": "true" }, "–"), to);
  const set = (value) => { for (const [index, input] of [from, to].entries()) input.value = value?.[index] ? formatClock(value[index]) : ""; };
  return withError(control, check, { focusable: from, isWide: true, get: () => [read(from) ?? null, read(to) ?? null], set });
}

function buildAdvanced(schemas) {
  const control = element("textarea", { id: "option-advanced", class: "code", rows: 3, spellcheck: "false", placeholder: '{"beam_size": 5}', "aria-describedby": "option-advanced-hint" });
  const parse = () => parseAdvanced(control.value, schemas);
  const built = withError(control, () => parse().error, { get: () => control.value.trim(), set: (value) => { control.value = value ?? ""; } });
  const body = element("div", { class: "field wide" },
    element("label", { class: "field-label", for: "option-advanced" }, "Other options, as JSON"), control,
    element("p", { class: "field-hint", id: "option-advanced-hint" }, "For those who know the options of the API."), built.error);
  return { name: "advanced", body, parsed: () => parse().options, focus: () => control.focus(), ...built };
}

/** Show what is wrong when the field is left, and take it back as soon as it is right. */
function withError(control, check, rest) {
  const error = element("p", { class: "field-error", role: "alert" });
  const inputs = control.matches("input, textarea") ? [control] : [...control.querySelectorAll("input:not([hidden]), textarea")];
  const show = () => {
    const text = check();
    error.textContent = text;
    for (const input of inputs) input.setAttribute("aria-invalid", String(Boolean(text)));
    return text;
  };
  control.addEventListener("change", show);
  control.addEventListener("input", () => { if (error.textContent) show(); });
  return { control, error, ...rest, check: show };
}
