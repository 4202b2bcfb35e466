// Searching what is in order by halving it.

/**
 * @param {number} length of what is searched.
 * @param {(index: number) => boolean} holds false up to some index, and true from there on.
 * @returns {number} the first index for which it holds; `length` if there is none.
 */
export function firstIndex(length, holds) {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
