// The picture of a stretch of a recording: its loudness, and who speaks when. Drawn on a canvas; nothing else.

const BAR = 2;
const BAR_PITCH = 3;
const BAND = 5;
const TINT = 0.13;

/**
 * What is seen of a recording at one moment. Pictures of equal moments are equal, so that nothing is drawn twice.
 *
 * @typedef {{from: number, to: number, time: number, loop: {start: number, end: number}|null,
 *   frame: {from: number, to: number}|null}} Moment times in seconds; `frame` marks a part of an overview.
 */

/** A canvas that shows a stretch of a recording. */
export class WaveformPicture {
  /**
   * @param {HTMLCanvasElement} canvas sized by its style.
   * @param {{peaks: () => import("./peaks.js").Peaks|null, bands: (from: number, to: number) => Band[],
   *   colour: (name: string) => string}} source `bands` are the lines between two times, as
   *   `{start, end, colour}`; `colour` gives the value of a custom property of the style.
   */
  constructor(canvas, source) {
    this.canvas = canvas;
    this.source = source;
    this.context = canvas.getContext("2d");
    this.layers = null;
    this.drawn = "";
  }

  /** Forget what was drawn, because the peaks, the transcript or the colours have changed. */
  invalidate() {
    this.layers = null;
    this.drawn = "";
  }

  /**
   * Draw a moment, if it looks different from the last one.
   *
   * @param {Moment} moment
   */
  draw(moment) {
    const { from, to, time, loop, frame } = moment;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    if (!width || !height || !(to > from)) return;
    const toX = (seconds) => Math.round(((seconds - from) / (to - from)) * width);
    const clamp = (seconds) => Math.max(0, Math.min(width, toX(seconds)));
    const looped = loop && [clamp(loop.start), clamp(loop.end)];
    const framed = frame && [clamp(frame.from), clamp(frame.to)];
    const stretch = [from, to, width, height, ratio].join();
    const look = [stretch, toX(time), looped, framed].join();
    if (look === this.drawn) return;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    if (this.layers?.stretch !== stretch) this.layers = { stretch, ...this.#drawLayers(from, to, width, height, ratio) };
    this.#compose(toX(time), looped, framed, width, height, ratio);
    this.drawn = look;
  }

  // The stretch is drawn twice, as it looks before and after it is played; while playing, only these are copied.
  #drawLayers(from, to, width, height, ratio) {
    const bands = this.source.bands(from, to);
    const peaks = this.source.peaks();
    const columns = peaks?.columns(from, to, Math.max(1, Math.floor(width / (BAR_PITCH * ratio))));
    const layer = (colour) => {
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext("2d");
      drawBands(context, bands, (seconds) => ((seconds - from) / (to - from)) * width, height, ratio);
      if (columns) drawBars(context, columns, this.source.colour(colour), width, height - 2 * BAND * ratio, ratio);
      return canvas;
    };
    return { ahead: layer("--wave-ahead"), played: layer("--wave-played") };
  }

  #compose(playhead, looped, framed, width, height, ratio) {
    const { context, layers } = this;
    const split = Math.max(0, Math.min(width, playhead));
    context.clearRect(0, 0, width, height);
    if (looped) fill(context, this.source.colour("--wave-loop"), looped[0], 0, looped[1] - looped[0], height);
    if (split > 0) context.drawImage(layers.played, 0, 0, split, height, 0, 0, split, height);
    if (split < width) context.drawImage(layers.ahead, split, 0, width - split, height, split, 0, width - split, height);
    const edge = Math.max(1, Math.round(ratio));
    if (looped) for (const x of looped) fill(context, this.source.colour("--accent"), x - edge, 0, 2 * edge, height);
    if (framed) outline(context, this.source.colour("--line-strong"), framed[0], framed[1], height, edge);
    if (playhead >= 0 && playhead <= width) fill(context, this.source.colour("--ink"), playhead - edge, 0, 2 * edge, height);
  }
}

/** @typedef {{start: number, end: number, colour: string}} Band */

function drawBands(context, bands, toX, height, ratio) {
  for (const { left, right, colour } of joinBands(bands, toX)) {
    context.globalAlpha = TINT;
    fill(context, colour, left, 0, right - left, height);
    context.globalAlpha = 1;
    fill(context, colour, left, height - BAND * ratio, right - left, BAND * ratio);
  }
}

// Of ten thousand lines in a thousand columns most cannot be told from their neighbours: they are drawn as one.
function joinBands(bands, toX) {
  const joined = [];
  for (const { start, end, colour } of bands) {
    const left = toX(start);
    const right = Math.max(left + 1, toX(end));
    const last = joined.at(-1);
    if (last && last.colour === colour && left - last.right < 1) last.right = Math.max(last.right, right);
    else joined.push({ left, right, colour });
  }
  return joined;
}

function drawBars(context, columns, colour, width, height, ratio) {
  const middle = height / 2;
  context.fillStyle = colour;
  context.beginPath();
  columns.forEach((peak, column) => {
    const x = Math.round((column / columns.length) * width);
    const bar = Math.max(ratio, (peak / 255) * (height - 2 * ratio));
    context.rect(x, middle - bar / 2, BAR * ratio, bar);
  });
  context.fill();
}

function fill(context, colour, x, y, width, height) {
  context.fillStyle = colour;
  context.fillRect(x, y, width, height);
}

function outline(context, colour, left, right, height, edge) {
  context.strokeStyle = colour;
  context.lineWidth = edge;
  context.strokeRect(left + edge / 2, edge / 2, Math.max(2 * edge, right - left - edge), height - edge);
}
