/**
 * The circuit breaker of one webhook: when an endpoint keeps failing, nothing is sent to it for a while, then one
 * delivery tries whether it is back, and then it gets more and more at once. Pure: the state is a row, the time a column.
 *
 * ```
 *            5 failures in a row, or half of 20 in a minute
 *   closed ───────────────────────────────────────────────▶ open
 *     ▲                                                    │  ▲
 *     │ the probe succeeded:             the pause is over │  │ the probe failed: the pause doubles
 *     │ one at once, then 2, 4, …                          ▼  │
 *     └──────────────────────────────────────────────── half_open
 * ```
 */
import * as Schema from "effect/Schema"

export const CircuitState = Schema.Literal("closed", "open", "half_open")
export type CircuitState = typeof CircuitState.Type

export const Circuit = Schema.Struct({
  state: CircuitState,
  /** Openings since it was last closed for good: each doubles the pause. */
  openings: Schema.Int,
  /** Attempts at once while it is being closed; null where nothing limits them. */
  ramp: Schema.NullOr(Schema.Int),
  /** Successes towards the next doubling of the ramp. */
  rampSuccesses: Schema.Int
})
export interface Circuit extends Schema.Schema.Type<typeof Circuit> {}

/** What some attempts, recorded together, showed of the endpoint. */
export interface Observed {
  readonly successes: number
  readonly failures: number
  /** Failures in a row, these included. */
  readonly consecutiveFailures: number
  /** Attempts and failures of the present minute, these included. */
  readonly windowAttempts: number
  readonly windowFailures: number
  /** Whether the probe of a half-open circuit succeeded; null where none of these attempts was its probe. */
  readonly probeSucceeded: boolean | null
}

/** What follows, and for how long nothing is sent then; null unless it opens. */
export interface Change {
  readonly circuit: Circuit
  readonly pauseMs: number | null
}

export const consecutiveFailuresMax = 5
export const windowAttemptsMin = 20
const failureShare = 0.5

const pauseMsMin = 30_000
export const pauseMsMax = 15 * 60_000
const jitterShare = 0.2

/** Past this many at once the circuit is closed for good, and the bulkhead alone limits. */
const rampMax = 64

export const closed: Circuit = { state: "closed", openings: 0, ramp: null, rampSuccesses: 0 }

/** How a circuit begins to close: one at a time. */
export const closing = (openings: number): Circuit => ({ state: "closed", openings, ramp: 1, rampSuccesses: 0 })

/**
 * What follows from attempts; null where nothing changes. Attempts that end while it is open began before it opened and
 * tell nothing new; so do those that end while it is half open and are not its probe. `jitter` is in [0, 1) and spreads the pause by ±20 %.
 */
export const observe = (circuit: Circuit, observed: Observed, jitter: number): Change | null => {
  if (circuit.state === "open") return null
  if (circuit.state === "half_open") return afterProbe(circuit, observed.probeSucceeded, jitter)
  if (isFailing(observed)) return opened(circuit, jitter)
  return circuit.ramp === null ? null : ramped(circuit, circuit.ramp, observed)
}

const isFailing = ({ consecutiveFailures, failures, windowAttempts, windowFailures }: Observed): boolean =>
  failures > 0 && (
    consecutiveFailures >= consecutiveFailuresMax ||
    (windowAttempts >= windowAttemptsMin && windowFailures / windowAttempts >= failureShare)
  )

const opened = ({ openings }: Circuit, jitter: number): Change => ({
  circuit: { state: "open", openings: openings + 1, ramp: null, rampSuccesses: 0 },
  pauseMs: Math.round(Math.min(pauseMsMax, pauseMsMin * 2 ** openings) * (1 - jitterShare + 2 * jitterShare * jitter))
})

const afterProbe = (circuit: Circuit, succeeded: boolean | null, jitter: number): Change | null => {
  if (succeeded === null) return null
  return succeeded ? { circuit: closing(circuit.openings), pauseMs: null } : opened(circuit, jitter)
}

/** Successes as many as were allowed at once double what is allowed; a failure halves it. */
const ramped = (circuit: Circuit, ramp: number, { failures, successes }: Observed): Change | null => {
  if (failures > 0) {
    return { circuit: { ...circuit, ramp: Math.max(1, Math.floor(ramp / 2)), rampSuccesses: 0 }, pauseMs: null }
  }
  if (successes === 0) return null
  const total = circuit.rampSuccesses + successes
  if (total < ramp) return { circuit: { ...circuit, rampSuccesses: total }, pauseMs: null }
  const next = ramp * 2
  return { circuit: next > rampMax ? closed : { ...circuit, ramp: next, rampSuccesses: 0 }, pauseMs: null }
}
