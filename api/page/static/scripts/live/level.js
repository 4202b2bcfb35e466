// How loud sound is, as a meter shows it.

/**
 * @param {Int16Array} samples
 * @returns {number} 0 to 1: -60 to 0 dB of full scale.
 */
export function levelOf(samples) {
  if (!samples.length) return 0;
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length / 32768 ** 2;
  return Math.max(0, 1 + Math.log10(power + 1e-12) / 6);
}
