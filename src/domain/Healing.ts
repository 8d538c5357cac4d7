/** When a webhook that was switched off for failures is looked at again. Pure arithmetic: the pause becomes a column. */

const pauseMsMin = 60_000
export const pauseMsMax = 3_600_000
const jitterShare = 0.2

/**
 * Milliseconds before the next look, after so many in vain: a minute, doubling to an hour, spread by ±20 % so that what
 * broke down together is not looked at together. `jitter` is in [0, 1).
 */
export const pauseMs = (looks: number, jitter: number): number =>
  Math.round(Math.min(pauseMsMax, pauseMsMin * 2 ** looks) * (1 - jitterShare + 2 * jitterShare * jitter))
