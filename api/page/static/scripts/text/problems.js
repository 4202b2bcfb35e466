// Errors as people need them: what happened, and what to do. Names of options and of encodings are for programs.

import { labelOf } from "./options.js";

/**
 * @typedef {{title: string, remedy: string, needs: "options"|"recording"|null}} Problem `needs`: what another try
 *   should change; only another recording can help where it is "recording".
 */

// By words of the message, the most telling first.
const BY_MESSAGE = [
  [/\bis empty\b|at least 1 character|has a header but no sound/, "The recording is empty.", "Check that it plays on your computer, then choose it again.", "recording"],
  [/cut off/, "The recording is incomplete: its end is missing.", "Copy or download it again in full, then choose it again.", "recording"],
  [/no audio track/, "The file has no sound.", "Choose a file with an audio track.", "recording"],
  [/not audio or video|the file is (a|an) /, "This is not a recording that can be read.", "Choose an audio or video file, such as MP3, M4A, WAV or MP4.", "recording"],
  [/leads to|compressed body|login/, "The address does not lead to a recording.", "Use the direct link to the audio or video file, not to a page that plays it.", "recording"],
  [/HTTP status 40[134]|HTTP status 410|expired/, "The recording at that address is not available.", "Check that the address opens in a private window without logging in."],
  [/public (address|host)|private/i, "The server may not fetch recordings from that address.", "Download the file and choose it here instead."],
  [/resolved|refused|timed out|broke off|unreachable host|redirected/, "The recording could not be downloaded.", "Check the address, or download the file and choose it here."],
  [/damaged|cannot be decoded|cannot be read|stalled|than an intact one/, "The recording is damaged, or in a format that cannot be read.", "Convert it, for example to MP3 or MP4, then choose it again."],
  [/knows English only|does not know|cannot translate/, "The model in use cannot do this in that language.", "Choose another model or another language, then try again.", "options"],
  [/is for a single recording/, "A text belongs to one recording, and this is a conversation of several tracks.", "Empty “What is said”, then try again.", "options"],
  [/longer than the limit/, "The recording is too long for this server.", "Split it into parts, then choose those.", "recording"],
  [/told apart: send fewer|can be mixed: send fewer|more than \d+ tracks/, "The recording has too many channels or tracks.", "Export it again as stereo.", "recording"],
  [/no such endpoint|API key|endpoint/i, "The transcription service is not set up correctly.", "Ask whoever runs this page to check its endpoint and key."],
];

const BY_CODE = {
  unreachable: ["The server cannot be reached.", "Check your connection, then try again."],
  password_needed: ["You are logged out.", "Log in again."],
  wrong_password: ["Wrong password.", "Try again, or ask whoever set up the server."],
  wrong_code: ["This link has been used already.", "Start the server again for a new one."],
  session_needed: ["Your browser does not keep this page’s cookie.", "Allow cookies for this address, then reload the page."],
  origin: ["Another page tried to use this one.", "Open this page at its own address."],
  host: ["The server has no password, so it answers at local addresses only.", "Open it by its IP address, or ask whoever runs it to set a password."],
  no_such_upload: ["The upload is no longer on the server.", "Choose the file again."],
  not_done: ["The recording is being transcribed anew, which replaces this text.", "Wait for it, or cancel it in the list."],
  no_live: ["This server has no live captions.", "Record with the microphone instead."],
  not_live: ["These live captions have ended.", "Open the transcript in your list."],
  not_ended: ["The recording is already being transcribed.", "Wait for it, or cancel it first."],
  too_many: ["There is no room for more.", "Delete transcripts, lines or speakers that you no longer need, then try again."],
  no_space: ["The server has no room left.", "Delete transcripts that you no longer need, then try again."],
  media_failed: ["The recording is damaged, or in a format that cannot be read.", "Convert it, for example to MP3 or MP4, then choose it again."],
  too_long: ["The text takes too long to lay out.", "Choose a simpler subtitle style, then try again."],
  no_video: ["The video is not there yet.", "Make it again."],
  format: ["There is no such file.", "Choose another format."],
  wrong_offset: ["The upload was interrupted.", "Try again."],
  incomplete_upload: ["The upload is not complete.", "Choose the file again."],
  no_transcript: ["This transcript does not exist.", "It may have been deleted, or it belongs to another browser."],
  not_found: ["This transcript does not exist.", "It may have been deleted, or it belongs to another browser."],
  too_many_uploads: ["Too many uploads are unfinished.", "Wait for them, or discard some, then try again."],
  no_recording: ["The recording is no longer on this machine, so the voice cannot be heard again.", "Keep the voice of the same person in another transcript."],
  no_voices: ["This server keeps no voices.", "Open the page on your own machine, with worker-whisper page."],
  voices_failed: ["The known voices cannot be read or changed.", "List them with worker-whisper voices list, which says what is wrong."],
  no_media: ["The recording is not on this server.", "Only its transcript is."],
  UnsupportedMedia: ["This is not a recording that can be read.", "Choose an audio or video file, such as MP3, M4A, WAV or MP4.", "recording"],
  DownloadFailed: ["The recording could not be downloaded.", "Check the address, or download the file and choose it here."],
  TooLarge: ["The recording is too large for this server.", "Split it, or convert it to a smaller file such as MP3, then choose that.", "recording"],
  OutOfMemory: ["The server ran out of memory.", "Try again later, or choose a smaller model.", "options"],
  OutOfResources: ["The server is too busy.", "Try again in a few minutes."],
  CaptionsFailed: ["The captions could not be added to the video.", "Try a subtitle track instead, or download the subtitles."],
  Cancelled: ["The transcription was cancelled.", "Start it again when you like."],
  Internal: ["Something went wrong on the server.", "Try again. If it happens again, tell whoever runs the server."],
};

const BY_MICROPHONE = {
  NotAllowedError: "The browser does not allow the microphone here. Allow it beside the address, then try again.",
  NotFoundError: "No microphone was found. Connect one, then try again.",
  NotReadableError: "Another program is using the microphone. Close it, then try again.",
};

export const NO_MICROPHONE = "The microphone works only over https or on this computer itself. Record with another program, then choose the file.";

/**
 * @param {DOMException} error of `getUserMedia`, or of what takes its sound.
 * @returns {string} what happened, and what to do.
 */
export const describeMicrophone = ({ name }) => BY_MICROPHONE[name] ?? "The recording could not be started. Try again, or record with another program.";

const BY_STATUS = {
  404: BY_CODE.not_found,
  413: BY_CODE.TooLarge,
  429: BY_CODE.OutOfResources,
  503: BY_CODE.OutOfResources,
  507: BY_CODE.no_space,
};

/**
 * @param {{message?: string, type?: string, code?: string, status?: number}} error of a request or of a record.
 * @returns {Problem} two sentences for the person at the page.
 */
export function describeProblem(error) {
  const message = error.message ?? "";
  const byCode = BY_CODE[error.code];
  if (byCode) return toProblem(byCode);
  const byMessage = BY_MESSAGE.find(([pattern]) => pattern.test(message));
  if (byMessage) return toProblem(byMessage.slice(1));
  const found = BY_STATUS[error.status] ?? BY_CODE[error.type];
  if (found) return toProblem(found);
  const option = describeOptionProblem(message);
  if (option) return option;
  return toProblem(BY_CODE.Internal);
}

/**
 * @param {import("../server/transcripts.js").Record} record of a job that failed.
 * @returns {Problem} which names the track that is to blame.
 */
export function describeFailure({ error, source }) {
  const told = error ?? { type: "Internal" };
  const message = told.message?.replace(/^audio\.\d+ \((.+?)\): /, "$1: ") ?? ""; // the worker's form of the client's
  const name = source.tracks.map((track) => track.name).find((one) => message.startsWith(`${one}: `));
  if (name === undefined) return describeProblem(told);
  const problem = describeProblem({ ...told, message: message.slice(name.length + 2) });
  return { ...problem, title: `${name}: ${problem.title}` };
}

function describeOptionProblem(message) {
  const match = /^(?:input\.)?(?:options\.)?([a-z_]+)(?:\.[\w.]+)?: (.+)$/s.exec(message);
  const label = match && labelOf(match[1]);
  if (!label) return null;
  return { title: `“${label}”: ${match[2].slice(0, 200)}.`, remedy: "Change it in the form, then try again.", needs: "options" };
}

const toProblem = ([title, remedy, needs = null]) => ({ title, remedy, needs });

/**
 * A warning of the worker, as a sentence.
 *
 * @param {string} warning
 * @returns {string}
 */
export function describeWarning(warning) {
  const text = warning.replace(/^channels "split"/, "“By channel”").replace(/^(?:diarize|speakers|channels)(?= has no effect)/, `“${labelOf("diarize")}”`).replace(/\b(?:options\.)?([a-z]+(?:_[a-z]+)+)\b/g, (name) => (labelOf(name.replace("options.", "")) ? `“${labelOf(name.replace("options.", ""))}”` : name));
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.?$/, ".")}`;
}
