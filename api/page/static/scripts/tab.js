// The tab's title and icon: they tell the state of the work to somebody who looks at another tab.

const NAME = "Whisper";

/**
 * What a tab shows, by what there is.
 *
 * @param {{title: string, recording: boolean, current: Object|null, running: Object|null, upload: Object|null,
 *   finished: Object|null}} state `title` of the view; `recording`: the microphone is recorded; `current`: the transcript that is open; `running`: one that is worked on; `upload`: {title,
 *   fraction} of a running one; `finished`: one that ended while nobody looked.
 * @returns {{title: string, kind: "idle"|"recording"|"working"|"done"|"failed", fraction: number}}
 */
export function describeTab({ title, recording, current, running, upload, finished }) {
  if (recording) return { title: `Recording - ${NAME}`, kind: "recording", fraction: 0 };
  const record = current ?? running;
  if (record?.state === "working") return { title: `${percent(record.fraction)} - ${record.title}`, kind: "working", fraction: record.fraction };
  if (record?.state === "waiting") return { title: `Waiting - ${record.title}`, kind: "working", fraction: 0 };
  if (upload) return { title: `Uploading ${percent(upload.fraction)} - ${upload.title}`, kind: "working", fraction: upload.fraction };
  const ended = current?.state === "failed" ? current : finished;
  if (ended?.state === "failed") return { title: `Failed - ${ended.title}`, kind: "failed", fraction: 1 };
  if (ended) return { title: `Done - ${ended.title}`, kind: "done", fraction: 1 };
  return { title: `${title} - ${NAME}`, kind: "idle", fraction: 0 };
}

const percent = (fraction) => `${Math.floor(fraction * 100)}%`;

/** @param {ReturnType<typeof describeTab>} shown */
export function showTab({ title, kind, fraction }) {
  if (document.title !== title) document.title = title;
  const link = document.querySelector("link[rel=icon]");
  const address = kind === "idle" ? link.dataset.idle ?? link.href : `data:image/svg+xml,${encodeURIComponent(drawIcon(kind, fraction))}`;
  link.dataset.idle ??= link.href;
  if (link.href !== address) link.href = address;
}

function drawIcon(kind, fraction) {
  const open = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke-linecap="round">';
  const drawn = {
    // Steps of 5 %: each new icon is decoded anew.
    working: `<circle cx="16" cy="16" r="12" stroke="#c3cde8" stroke-width="6"/><circle cx="16" cy="16" r="12" stroke="#2f5bd7" stroke-width="6" pathLength="20" stroke-dasharray="${Math.floor(fraction * 20)} 20" transform="rotate(-90 16 16)" stroke-linecap="butt"/>`,
    recording: '<circle cx="16" cy="16" r="15" fill="#b3261e"/><circle cx="16" cy="16" r="6" fill="#fff"/>',
    done: '<circle cx="16" cy="16" r="15" fill="#1b7340"/><path d="M9 17l5 5 9-11" stroke="#fff" stroke-width="3.5"/>',
    failed: '<circle cx="16" cy="16" r="15" fill="#b3261e"/><path d="M16 8v10M16 23v.1" stroke="#fff" stroke-width="4"/>',
  };
  return `${open}${drawn[kind]}</svg>`;
}
