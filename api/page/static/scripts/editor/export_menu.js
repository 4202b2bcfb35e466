// One button for all files that a transcript can be downloaded as.

import { element, icon, menu, toast } from "../dom.js";
import { records } from "../server/records.js";
import { exportAddress, exportWarnings } from "../server/transcripts.js";
import { describeProblem, describeWarning } from "../text/problems.js";
import { VideoProgress } from "./captioned_video.js";
import { threshold } from "./confidence.js";
import { download } from "./download.js";
import { layoutOf, stlOf, styleOf } from "./subtitle_style.js";

const GROUPS = [
  { heading: "To read and edit", formats: [
    ["docx", "Word (.docx)", "With speakers and times"],
    ["docx", "Word with marks (.docx)", "Unsure words are shaded", () => ({ unsure_below: threshold() })],
    ["txt", "Text (.txt)", "Opens everywhere"],
  ] },
  { heading: "Subtitles", formats: [
    ["srt", "SubRip (.srt)", "Most players and video editors"],
    ["vtt", "WebVTT (.vtt)", "Web pages"],
    ["ass", "SubStation (.ass)", "Styled, for burning in"],
    ["ttml", "EBU-TT-D (.ttml)", "Broadcasters and streaming"],
    ["stl", "EBU STL (.stl)", "Latin, Cyrillic, Greek, Arabic or Hebrew"],
    ["lrc", "Lyrics (.lrc)", "Music players"],
  ] },
  { heading: "Data", formats: [
    ["tsv", "Table (.tsv)", "Spreadsheets"],
    ["json", "JSON (.json)", "Every word with its time"],
    ["rttm", "RTTM (.rttm)", "Who speaks when, for research"],
  ] },
];
// EBU STL, and the archive that has it: it cannot hold every text, of which the server then warns.
const WITH_STL = ["stl", "zip"];
const VIDEOS = [
  ["mux", "With a subtitle track", "Can be turned off"],
  ["burn", "With burned-in subtitles", "Always visible"],
];

/**
 * The Download button with its menu.
 *
 * @param {{record: object, document: import("../model/document.js").Document, saver: import("../model/saver.js").Saver}}
 *   parts of the open transcript.
 * @returns {{root: HTMLElement, unmount: () => void}}
 */
export function exportButton({ record, document: transcript, saver }) {
  const progress = new VideoProgress(record.id);
  const current = () => records.get(record.id) ?? record;

  // Files are made of what is saved.
  const afterSaving = (work) => async () => {
    if (await saver.flush()) await work(layoutOf(styleOf(record)));
    else toast("Your last corrections are not saved yet, so the file would not have them. Try again when they are.");
  };
  const formatItem = ([format, label, hint, wanted = () => ({})]) => ({
    label, hint,
    disabled: format === "rttm" && !hasSpeakers(transcript),
    run: afterSaving(async (layout) => {
      const asked = { ...layout, ...(WITH_STL.includes(format) && stlOf(styleOf(record))), ...wanted() };
      download(exportAddress(record.id, format, asked));
      if (WITH_STL.includes(format)) await tellLosses(record.id, format, asked);
    }),
  });
  const videoItem = ([captions, label, hint]) => ({
    label, hint,
    disabled: current().video?.state === "working",
    run: afterSaving((layout) => progress.make(captions, layout)),
  });

  const button = element("button", { type: "button", class: "primary" }, icon("download"), "Download");
  menu(button, () => [
    ...GROUPS.map(({ heading, formats }) => ({ heading, items: formats.map(formatItem) })),
    ...(current().media?.kind === "video" ? [{ heading: "Video", items: VIDEOS.map(videoItem) }] : []),
    { items: [formatItem(["zip", "All files (.zip)", "Every format at once"])] },
  ]);
  return { root: element("span", { class: "export" }, button, progress.root), unmount: () => progress.unmount() };
}

// The browser saves a file by itself, and shows none of its headers.
async function tellLosses(id, format, layout) {
  try {
    for (const warning of await exportWarnings(id, format, layout)) toast(describeWarning(warning));
  } catch (error) {
    toast(describeProblem(error).title);
  }
}

function hasSpeakers(transcript) {
  return transcript.lines.some(({ speaker }) => speaker !== null);
}
