// Requests to the page's own API. All addresses are relative: the page may be served under a prefix.

/** An answer that says no, or no answer at all (status 0, code "unreachable"). */
export class ServerError extends Error {
  /**
   * @param {number} status of HTTP.
   * @param {string} code of the error, such as "wrong_offset".
   * @param {string} message one sentence.
   * @param {any} [body] the whole answer.
   */
  constructor(status, code, message, body = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.body = body;
  }
}

/**
 * @param {string} path below `page/api/`, with its query.
 * @returns {string} the absolute address.
 */
export const addressOf = (path) => new URL(`page/api/${path}`, document.baseURI).href;

/**
 * Send a request and wait for its whole answer.
 *
 * @param {string} method of HTTP.
 * @param {string} path below `page/api/`, with its query.
 * @param {any} [body] sent as JSON; a Blob is sent as it is.
 * @param {{signal?: AbortSignal, keepalive?: boolean}} [settings] as `fetch` has them.
 * @returns {Promise<any>} the answer's JSON; null if it has no body.
 * @throws {ServerError} the answer is an error, or there is none. An aborted request throws "AbortError".
 */
export async function request(method, path, body, settings = {}) {
  if (method === "GET" && ahead.has(path)) return takeAhead(path);
  const response = await send(method, path, body, settings);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

const ahead = new Map(); // answers on their way, by path
const FRESH_MS = 10_000;

/**
 * Send a GET request before anybody needs its answer; whoever asks for the same first, and soon, gets it.
 *
 * @param {string} path below `page/api/`, with its query.
 * @returns {Promise<any>} as of `request`.
 */
export function askAhead(path) {
  const answer = request("GET", path);
  ahead.set(path, answer);
  setTimeout(() => ahead.delete(path), FRESH_MS);
  return answer;
}

function takeAhead(path) {
  const answer = ahead.get(path);
  ahead.delete(path);
  return answer;
}

/**
 * Like `request`, for answers that are not JSON.
 *
 * @returns {Promise<Response>} an answer that is no error.
 * @throws {ServerError} the answer is an error, or there is none.
 */
export async function send(method, path, body, settings = {}) {
  const headers = { "x-requested-by": "page" };
  if (body !== undefined && !(body instanceof Blob)) {
    headers["content-type"] = "application/json";
    body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(addressOf(path), { method, headers, body, ...settings });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, "unreachable", "the server cannot be reached");
  }
  if (!response.ok) throw await readError(response);
  return response;
}

async function readError(response) {
  const body = await response.json().catch(() => null);
  const error = body?.error ?? {};
  if (error.code === "password_needed") dispatchEvent(new Event("password-needed"));
  return new ServerError(response.status, error.code ?? error.type ?? "", error.message ?? `the server answered ${response.status}`, body);
}
