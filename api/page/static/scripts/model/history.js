// What can be undone. A step holds the lines before and after it; undoing puts the lines before it back.

/**
 * @typedef {import("./document.js").Line} Line
 * @typedef {{id: string, before: Line|null, after: Line|null}} LineChange null: the line is not there.
 * @typedef {{lines: LineChange[], names: {before: Names, after: Names}|null, group: string|null}} Step
 * @typedef {{title: string, speakers: [string, string][]}} Names
 */

const MOST_STEPS = 500;

export class History {
  /** @type {Step[]} */ past = [];
  /** @type {Step[]} */ future = [];

  /**
   * Add a step. One of the same group as the last is joined with it, so that typing is undone as a whole.
   *
   * @param {Step} step
   */
  add(step) {
    this.future = [];
    const last = this.past.at(-1);
    if (step.group !== null && last?.group === step.group) this.past[this.past.length - 1] = joined(last, step);
    else this.past.push(step);
    if (this.past.length > MOST_STEPS) this.past.shift();
  }

  /** @returns {Step|undefined} the step to take back, which is then the next to redo. */
  back() {
    const step = this.past.pop();
    if (step) this.future.push({ ...step, group: null });
    return step;
  }

  /** @returns {Step|undefined} the step to do again. */
  forward() {
    const step = this.future.pop();
    if (step) this.past.push(step);
    return step;
  }

  /** Take the last step out if it belongs to the group, as when an edit is cancelled. */
  drop(group) {
    return this.past.at(-1)?.group === group ? this.past.pop() : undefined;
  }

  /**
   * Forget the steps that a change from elsewhere has overtaken: those of its lines, and those that depend on them.
   *
   * @param {Iterable<string>} ids of the changed lines; `NAMES` for the title and the speakers' names.
   */
  forget(ids) {
    this.past = untouched(this.past, new Set(ids));
    this.future = untouched(this.future, new Set(ids));
  }

  /**
   * Take up the steps of this tab's visit before a reload, as far as the lines are still as they left them.
   *
   * @param {{past: Step[], future: Step[]}} kept
   * @param {(id: string, line: Line|null) => boolean} isNow whether the line with this ID is as it is there.
   */
  restore({ past, future }, isNow) {
    const expected = new Map();
    for (const step of future) for (const { id, before } of step.lines) expected.set(id, before);
    for (const step of past) for (const { id, after } of step.lines) expected.set(id, after);
    this.past = past;
    this.future = future;
    this.forget([...expected].filter(([id, line]) => !isNow(id, line)).map(([id]) => id));
  }
}

/** What stands for the title and the names among the lines' IDs. */
export const NAMES = "names";

const touched = (step) => [...step.lines.map((change) => change.id), ...(step.names ? [NAMES] : [])];

/** The steps, last first, that have nothing to do with the lines, nor with a dropped step after them. */
function untouched(steps, lost) {
  const kept = [];
  for (const step of steps.toReversed()) {
    const ids = touched(step);
    if (ids.some((id) => lost.has(id))) ids.forEach((id) => lost.add(id));
    else kept.push(step);
  }
  return kept.reverse();
}

/** Two steps as one. */
function joined(first, second) {
  const lines = new Map(first.lines.map((change) => [change.id, change]));
  for (const change of second.lines) {
    lines.set(change.id, { ...change, before: lines.has(change.id) ? lines.get(change.id).before : change.before });
  }
  const names = first.names && second.names ? { before: first.names.before, after: second.names.after } : null;
  return { lines: [...lines.values()], names: names ?? first.names ?? second.names, group: first.group };
}
