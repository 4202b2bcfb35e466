// The connection over which sound goes to the server and text comes back. It outlives the loss of its WebSocket: what
// the server may not have is kept for a while, and sent when it can be reached again.

import { addressOf } from "../server/client.js";
import * as transcripts from "../server/transcripts.js";
import { HeldSound } from "./held_sound.js";
import { BYTES_PER_SECOND } from "./sound.js";

/** Sound that is kept at most. The server waits half as long for a lost connection. */
const MOST_HELD_S = 120;
const LONGEST_PAUSE_S = 5;

/**
 * Events: "message" (detail: a message of the server), "connection" (detail {connected}), "full" (the server takes
 * sound more slowly than it comes: no more can be kept) and "over" (detail {warning, isKept, lostSeconds}: nothing more
 * comes; `lostSeconds` of sound did not reach the server).
 */
export class LiveConnection extends EventTarget {
  #id;
  #held = new HeldSound();
  #socket = null;
  #isReady = false;
  #isStopping = false;
  #isOver = false;
  #failures = 0;
  #lastLine = "";
  #retry = 0;

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
    const bytes = new Uint8Array(samples.buffer);
    this.#held.add(bytes);
    if (this.#isReady) this.#socket.send(bytes);
    if (this.#held.size > MOST_HELD_S * BYTES_PER_SECOND) this.#tell("full");
  }

  /** Make what was said until now final. */
  pause() {
    if (this.#isReady) this.#command("pause");
  }

  /** End the transcript, once the server has all sound. */
  stop() {
    this.#isStopping = true;
    if (this.#isReady) this.#command("stop");
  }

  #command(type) {
    this.#socket.send(JSON.stringify({ type }));
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
    if (message.type === "received") this.#held.drop(message.bytes);
    for (const { id } of message.lines ?? []) if (id > this.#lastLine) this.#lastLine = id;
    this.#tell("message", message);
    if (message.type === "ended") this.#end({ warning: message.warning, isKept: this.seconds > 0 });
  }

  /** Send what the server does not have. */
  #begin({ received }) {
    this.#failures = 0;
    this.#isReady = true;
    this.#held.drop(received);
    for (const bytes of this.#held.from(received)) this.#socket.send(bytes);
    this.#tell("connection", { connected: true });
    if (this.#isStopping) this.#command("stop");
  }

  #lose() {
    if (this.#isOver) return;
    this.#isReady = false;
    this.#tell("connection", { connected: false });
    const pause = Math.min(2 ** this.#failures++ / 2, LONGEST_PAUSE_S);
    this.#retry = setTimeout(() => this.#comeBack(), pause * 1000);
  }

  /** A WebSocket that is refused says nothing of why: the transcript does. */
  async #comeBack() {
    try {
      const { state } = await transcripts.get(this.#id);
      if (this.#isOver) return;
      if (state === "live") this.#connect();
      else this.#end({ warning: null, isKept: true });
    } catch (error) {
      if (error.status === 404) this.#end({ warning: null, isKept: false });
      else this.#lose();
    }
  }

  #end(detail) {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#retry);
    this.#socket.close();
    this.#tell("over", { ...detail, lostSeconds: this.#held.size / BYTES_PER_SECOND });
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
