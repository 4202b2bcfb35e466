// The connection over which sound goes to the server and text comes back. It outlives the loss of its WebSocket: what
// the server may not have is kept for a while, and sent when it can be reached again.

import { addressOf } from "../server/client.js";
import * as transcripts from "../server/transcripts.js";
import { HeldSound } from "./held_sound.js";
import { BYTES_PER_SECOND } from "./sound.js";

/** Sound that is kept at most. The server waits half as long for a lost connection. */
const MOST_HELD_S = 120;
// Sound that is on its way at most, and in one message: a busy server gets fewer and longer messages.
const MOST_SENT_S = 0.5;
const MESSAGE_S = 10;
const LONGEST_PAUSE_S = 5;

/**
 * Events: "message" (detail: a message of the server), "connection" (detail {connected}), "full" (the server takes
 * sound more slowly than it comes: no more can be kept) and "over" (detail {record, warning, lostSeconds}: nothing more
 * comes; `record` is null where the server has none any longer, `lostSeconds` of sound did not reach it).
 */
export class LiveConnection extends EventTarget {
  #id;
  #held = new HeldSound();
  #socket = null;
  #isReady = false;
  #sent = 0; // bytes of sound on this connection, and what the server had before
  #received = 0; // of them, which the server has
  #command = ""; // to send behind all sound
  #isStopping = false;
  #failures = 0;
  #lastLine = "";
  #warning = null; // of the server, about why it ended

  /** @param {string} id of the transcript. */
  constructor(id) {
    super();
    this.#id = id;
    this.#connect();
  }

  /** Seconds of sound so far. */
  get seconds() {
    return this.#held.end / BYTES_PER_SECOND;
  }

  /** @param {Int16Array} samples */
  send(samples) {
    if (this.#isStopping) return;
    this.#held.add(new Uint8Array(samples.buffer));
    this.#flush();
    if (this.#held.size > MOST_HELD_S * BYTES_PER_SECOND) this.#emit("full");
  }

  /** Make what was said until now final. */
  pause() {
    this.#command = "pause";
    this.#flush();
  }

  /** End the transcript, once the server has all sound. */
  stop() {
    this.#isStopping = true;
    this.#command = "stop";
    this.#flush();
  }

  /** Send what can be sent now; the rest follows what the server takes, or a new connection. */
  #flush() {
    if (!this.#isReady || this.#socket.readyState !== WebSocket.OPEN) return;
    while (this.#sent < this.#held.end && this.#sent - this.#received < MOST_SENT_S * BYTES_PER_SECOND) {
      const bytes = this.#held.from(this.#sent, MESSAGE_S * BYTES_PER_SECOND);
      this.#socket.send(bytes);
      this.#sent += bytes.length;
    }
    if (!this.#command || this.#sent < this.#held.end) return;
    this.#socket.send(JSON.stringify({ type: this.#command }));
    this.#command = "";
  }

  #acknowledge(position) {
    this.#received = position;
    this.#held.drop(position);
    this.#flush();
  }

  #connect() {
    const address = addressOf(`live/${encodeURIComponent(this.#id)}?after=${this.#lastLine}`).replace(/^http/, "ws");
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    socket.onclose = () => this.#lose();
  }

  #take(message) {
    if (message.type === "ready") this.#begin(message);
    if (message.type === "received") this.#acknowledge(message.bytes);
    for (const { id } of message.lines ?? []) if (id > this.#lastLine) this.#lastLine = id;
    this.#emit("message", message);
    if (message.type === "ended") this.#warning = message.warning;
  }

  /** Send what the server does not have. */
  #begin({ received }) {
    this.#failures = 0;
    this.#isReady = true;
    this.#sent = received;
    if (this.#isStopping) this.#command = "stop";
    this.#acknowledge(received);
    this.#emit("connection", { connected: true });
  }

  #lose() {
    this.#isReady = false;
    this.#comeBack();
  }

  /** A WebSocket that was refused or closed says nothing of why: the transcript does. */
  async #comeBack() {
    let record = null;
    try {
      record = await transcripts.get(this.#id);
    } catch (error) {
      if (error.status === 404) return this.#end(null);
    }
    if (record && record.state !== "live") return this.#end(record);
    this.#emit("connection", { connected: false });
    const pause = Math.min(2 ** this.#failures++ / 2, LONGEST_PAUSE_S);
    setTimeout(() => this.#connect(), pause * 1000);
  }

  #end(record) {
    this.#emit("over", { record, warning: this.#warning, lostSeconds: this.#held.size / BYTES_PER_SECOND });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
