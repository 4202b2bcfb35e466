// The options of a job as people read them: which fields the form has, in which group, with which words.

/**
 * @typedef {{name: string, label: string, kind: "choice"|"number"|"line"|"text"|"words"|"check"|"language"|"range"|"model",
 *   hint?: string, choices?: Array<[string, string]>, placeholder?: string, min?: number, max?: number,
 *   needs?: [string, string], once?: boolean, offWithTracks?: string}} Field
 *   `name`: of the option; of fields that stand for several options, one of their own. `needs`: shown only while
 *   another field has a value. `once`: it is for one recording, so that presets do not have it. `offWithTracks`: why the
 *   field does not count for tracks of a conversation; of fields without a hint.
 */

/** @type {Array<{title: string, fields: Field[]}>} the first group is always in sight. */
const GROUPS = [
  {
    title: "Speech",
    fields: [
      { name: "language", label: "Language", kind: "language" },
      { name: "task", label: "Task", kind: "choice", choices: [["", "Transcribe"], ["translate", "Translate to English"]] },
      { name: "voices", label: "Speakers", kind: "choice", choices: [["", "Don't identify"], ["diarize", "By voice"], ["split", "By channel"]], offWithTracks: "Not needed: each track is one speaker’s." },
      { name: "num_speakers", label: "How many speakers", kind: "number", placeholder: "Auto-detect", min: 1, max: 100, needs: ["voices", "diarize"] },
      { name: "model", label: "Model", kind: "model" },
    ],
  },
  {
    title: "Vocabulary",
    fields: [
      { name: "custom_vocabulary", label: "Names and unusual words", kind: "words", placeholder: "Zoltán, Kubernetes, Aix-en-Provence", hint: "Separated by commas or one per line." },
    ],
  },
  {
    title: "A text that is known",
    fields: [
      { name: "align", label: "What is said", kind: "text", once: true, placeholder: "A script, lyrics or a corrected transcript", hint: "The transcript will be this text, line by line, with its times. Words that are not said in the recording are struck out." },
    ],
  },
  {
    title: "Privacy",
    fields: [
      { name: "redact", label: "Hide personal data", kind: "check", hint: "Card and account numbers, phone numbers, e-mail and IP addresses. They stay in the recording." },
      { name: "mask", label: "Words to mask", kind: "words", placeholder: "damn, heck", hint: "Separated by commas or one per line." },
    ],
  },
  {
    title: "Subtitles",
    fields: [
      { name: "subtitle_preset", label: "Style", kind: "choice", choices: [["", "One per sentence"], ["broadcast", "Broadcast-style"]], hint: "Broadcast-style: 2 lines of 42 characters, easy to read along." },
      { name: "max_line_width", label: "Characters per line", kind: "number", placeholder: "No limit", min: 10, max: 200 },
      { name: "max_line_count", label: "Lines", kind: "number", placeholder: "No limit", min: 1, max: 10 },
    ],
  },
  {
    title: "Recording",
    fields: [
      { name: "clip_timestamps", label: "Only a part", kind: "range", hint: "Minutes and seconds, such as 1:30." },
      { name: "audio_track", label: "Audio track", kind: "line", placeholder: "The main one", maxlength: 200, hint: "For videos with several: the number, from 1, the language or the title." },
      { name: "denoise", label: "Reduce background noise", kind: "check", hint: "Only for very noisy recordings: it seldom helps." },
    ],
  },
];

/** The kinds that "Hide personal data" stands for. */
export const PERSONAL_DATA = ["card", "iban", "email", "phone", "ip"];
const OPTIONS_OF = { voices: ["diarize", "channels"] };
// What the page always asks for itself.
const OF_THE_PAGE = new Set(["output_format", "word_timestamps", "translate", "captions"]);

const FURTHER_LABELS = {
  diarize: "Speakers", channels: "Speakers", min_speakers: "How many speakers", max_speakers: "How many speakers",
  initial_prompt: "Names and unusual words", tracks: "Names of the speakers", caption_font: "Caption font",
};
const LABELS = new Map(GROUPS.flatMap(({ fields }) => fields.map(({ name, label }) => [name, label])));

/**
 * @param {string} name of an option.
 * @returns {string|null} its label in the form; null if the form has none.
 */
export const labelOf = (name) => LABELS.get(name) ?? FURTHER_LABELS[name] ?? null;

/**
 * The groups with those fields that a server can do something with.
 *
 * @param {{models: string[], schemas: Object<string, Object>}} known as the server tells them.
 * @returns {typeof GROUPS}
 */
export function groupsFor({ models, schemas }) {
  const isKnown = ({ name, kind }) => {
    if (kind === "model") return models.length > 1;
    return (OPTIONS_OF[name] ?? [name]).some((option) => option in schemas);
  };
  return GROUPS.map(({ title, fields }) => ({ title, fields: fields.filter(isKnown) })).filter(({ fields }) => fields.length);
}

/**
 * Options of a job, from the form's values.
 *
 * @param {Object<string, any>} values by field: texts, numbers, booleans; "clip_timestamps" is [from, to] in seconds.
 * @returns {Object<string, any>}
 */
export function toOptions(values) {
  const { voices, custom_vocabulary: words, redact, mask, clip_timestamps: range, advanced = {}, num_speakers: count, ...plain } = values;
  const options = Object.fromEntries(Object.entries(plain).filter(([, value]) => value !== "" && value !== null && value !== false && value !== undefined));
  if (voices === "diarize") options.diarize = true;
  if (voices === "diarize" && count) options.num_speakers = count;
  if (voices === "split") options.channels = "split";
  const terms = splitWords(words);
  if (terms.length) options.custom_vocabulary = terms;
  if (redact) options.redact = PERSONAL_DATA;
  const masked = splitWords(mask);
  if (masked.length) options.mask = masked;
  if (range && (range[0] || range[1])) options.clip_timestamps = [[range[0] ?? 0, range[1] ?? null]];
  return { ...options, ...advanced };
}

const splitWords = (text) => (text ?? "").split(/[,\n]/).map((word) => word.trim()).filter(Boolean);

/**
 * Check the "Advanced" field.
 *
 * @param {string} text JSON, or nothing.
 * @param {Object<string, Object>} schemas by option.
 * @returns {{options: Object<string, any>, error: string}} an error is one sentence; "" if there is none.
 */
export function parseAdvanced(text, schemas) {
  if (!text.trim()) return { options: {}, error: "" };
  let options;
  try {
    options = JSON.parse(text);
  } catch {
    return { options: {}, error: 'This is not JSON. It should look like {"beam_size": 5}.' };
  }
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    return { options: {}, error: 'Use names and values in braces, like {"beam_size": 5}.' };
  }
  for (const [name, value] of Object.entries(options)) {
    const error = checkAdvanced(name, value, schemas);
    if (error) return { options: {}, error };
  }
  return { options, error: "" };
}

function checkAdvanced(name, value, schemas) {
  if (OF_THE_PAGE.has(name)) return `The page sets ${name} itself: remove it.`;
  if (LABELS.has(name)) return `${name} has a field above (“${LABELS.get(name)}”): use that.`;
  const schema = schemas[name];
  if (!schema) return `There is no option called ${name}.`;
  return explainMismatch(name, value, schema);
}

function explainMismatch(name, value, schema) {
  const kinds = schema.anyOf ?? [schema];
  if (kinds.some((kind) => fits(value, kind))) return "";
  const wanted = kinds.filter(({ type }) => type !== "null").map(describeKind).join(" or ");
  return `${name} should be ${wanted}.`;
}

function fits(value, schema) {
  if (schema.enum) return schema.enum.includes(value);
  if ("const" in schema) return schema.const === value;
  const { type, minimum = -Infinity, maximum = Infinity } = schema;
  const isRight = {
    null: () => value === null,
    boolean: () => typeof value === "boolean",
    string: () => typeof value === "string" && value.length <= (schema.maxLength ?? Infinity),
    integer: () => Number.isInteger(value) && value >= minimum && value <= maximum,
    number: () => typeof value === "number" && value >= minimum && value <= maximum,
    // A single item is taken for a list of one; the worker checks the items.
    array: () => Array.isArray(value) || (schema.items?.type !== undefined && fits(value, schema.items)),
    object: () => typeof value === "object" && value !== null && !Array.isArray(value),
  }[type];
  return isRight ? isRight() : true;
}

function describeKind(schema) {
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(", ");
  if ("const" in schema) return JSON.stringify(schema.const);
  const { type, minimum, maximum } = schema;
  const range = minimum !== undefined && maximum !== undefined ? ` from ${minimum} to ${maximum}` : "";
  const names = { boolean: "true or false", string: "a text", integer: `a whole number${range}`, number: `a number${range}`, array: "a list", object: "names and values in braces" };
  return names[type] ?? "another value";
}
