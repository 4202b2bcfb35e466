// Times as people read them.

/**
 * @param {number} seconds
 * @returns {string} "0:05", "12:34" or "1:02:03".
 */
export function formatClock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const pad = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}

/**
 * @param {string} text "90", "1:30", "1:02:03" or "1:02:03.5".
 * @returns {number|null} seconds; null if it is no time.
 */
export function parseClock(text) {
  const match = /^(?:(?:(\d{1,3}):)?(\d{1,3}):)?(\d{1,6}(?:[.,]\d{1,3})?)$/.exec(text.trim());
  if (!match) return null;
  const [hours, minutes, seconds] = match.slice(1).map((part) => Number((part ?? "0").replace(",", ".")));
  if (match[2] !== undefined && seconds >= 60) return null;
  if (match[1] !== undefined && minutes >= 60) return null;
  return hours * 3600 + minutes * 60 + seconds;
}

/**
 * A duration in words, roughly: for what is still to come nobody wants seconds of hours.
 *
 * @param {number} seconds
 * @returns {string} "25 s", "4 min", "2 h 10 min".
 */
export function formatDuration(seconds) {
  if (seconds < 59.5) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/**
 * @param {number} unixSeconds
 * @returns {string} the day and time, in the browser's language of dates.
 */
export function formatMoment(unixSeconds) {
  const moment = new Date(unixSeconds * 1000);
  const today = new Date();
  const time = moment.toLocaleTimeString("en", { hour: "numeric", minute: "2-digit" });
  if (moment.toDateString() === today.toDateString()) return `Today, ${time}`;
  const sameYear = moment.getFullYear() === today.getFullYear();
  return `${moment.toLocaleDateString("en", { day: "numeric", month: "short", year: sameYear ? undefined : "numeric" })}, ${time}`;
}

/**
 * @param {Date} moment
 * @returns {string} "2026-05-01 14.30", which may be in the name of a file.
 */
export function formatStamp(moment) {
  const pad = (number) => String(number).padStart(2, "0");
  return `${moment.getFullYear()}-${pad(moment.getMonth() + 1)}-${pad(moment.getDate())} ${pad(moment.getHours())}.${pad(moment.getMinutes())}`;
}

/**
 * @param {number} bytes
 * @returns {string} "640 kB", "12.3 MB".
 */
export function formatSize(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = bytes < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(bytes) / 3));
  const number = bytes / 1000 ** power;
  return `${power < 2 || number >= 100 ? Math.round(number) : number.toFixed(1)} ${units[power]}`;
}
