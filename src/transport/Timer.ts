/**
 * Node's timers, for what must not depend on the clock that a program swaps in its tests: a socket does not know that
 * clock, and a deadline that waits for it would never come. `Effect.timeout` would also cost 28 µs an attempt.
 */

/** Runs it once, after so many milliseconds. Returns how to call it off. */
export const after = (ms: number, run: () => void): () => void => {
  // @effect-diagnostics-next-line globalTimers:off
  const timer = setTimeout(run, ms)
  return () => clearTimeout(timer)
}
