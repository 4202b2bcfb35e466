// Files and whole folders dropped anywhere on the page.

const SUFFIXES = new Set("3gp aac ac3 aif aiff amr au avi caf flac flv m4a m4b m4v mka mkv mov mp2 mp3 mp4 mpeg mpg mts mxf oga ogg ogv opus ra spx ts vob wav webm wma wmv".split(" "));
const MOST_FILES = 1000;

/**
 * Whether a file of a folder is a recording, by its name. Macs put a hidden twin, such as "._a.mp3", beside each file.
 *
 * @param {File} file
 * @returns {boolean}
 */
function isRecording({ name, type }) {
  if (name.startsWith(".")) return false;
  return /^(audio|video)\//.test(type) || SUFFIXES.has(name.split(".").at(-1).toLowerCase());
}

/**
 * @param {Iterable<File>} files of a folder.
 * @returns {{files: File[], skipped: number}} its recordings, by name; `skipped`: other files that are not hidden.
 */
export function recordingsOf(files) {
  const all = [...files];
  const kept = all.filter(isRecording);
  const hidden = all.filter(({ name }) => name.startsWith("."));
  return { files: kept, skipped: all.length - kept.length - hidden.length };
}

/**
 * Take files that are dropped on the page.
 *
 * @param {HTMLElement} overlay shown while files are dragged over the page.
 * @param {(dropped: {files: File[], skipped: number}) => void} take
 */
export function catchDrops(overlay, take) {
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let depth = 0; // "dragenter" comes for each element on the way, before the "dragleave" of the one before
  const show = () => { overlay.hidden = depth === 0; };
  addEventListener("dragenter", (event) => { if (hasFiles(event)) { depth += 1; show(); } });
  addEventListener("dragleave", (event) => { if (hasFiles(event)) { depth = Math.max(0, depth - 1); show(); } });
  addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
  addEventListener("drop", async (event) => {
    depth = 0;
    show();
    if (!hasFiles(event)) return;
    event.preventDefault();
    try {
      take(await readDrop(event.dataTransfer));
    } catch {
      take({ files: [], skipped: 0 }); // a file that was moved away meanwhile
    }
  });
}

async function readDrop(transfer) {
  // All entries have to be taken now: the list is empty once the event is over.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  const files = [];
  let skipped = 0;
  for (const entry of entries) {
    if (entry.isFile) {
      files.push(await fileOf(entry)); // dropped by itself: its name may be anything
    } else {
      const inside = recordingsOf(await filesIn(entry));
      files.push(...inside.files);
      skipped += inside.skipped;
    }
  }
  return { files, skipped };
}

async function filesIn(folder) {
  const found = [];
  const folders = [folder];
  while (folders.length && found.length < MOST_FILES) {
    const reader = folders.shift().createReader();
    // Each call gives at most 100 entries.
    for (let some; (some = await entriesOf(reader)).length && found.length < MOST_FILES; ) {
      for (const entry of some.sort((one, other) => one.name.localeCompare(other.name))) {
        if (entry.isDirectory) folders.push(entry);
        else found.push(await fileOf(entry));
      }
    }
  }
  return found;
}

const fileOf = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));
const entriesOf = (reader) => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
