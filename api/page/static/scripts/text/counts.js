// Numbers of things as people read them.

/**
 * @param {number} number
 * @param {string} one the word for a single one, such as "line".
 * @param {string} [many] the word for several.
 * @returns {string} "1 line", "1,200 lines".
 */
export const formatCount = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
