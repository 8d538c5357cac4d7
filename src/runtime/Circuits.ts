/**
 * Decides on circuits after each batch of outcomes. Whoever wrote the outcomes decides; where two nodes did at once, the
 * one that comes second finds the circuit changed and leaves it.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import * as Circuit from "../domain/Circuit.ts"
import { type CircuitChange, CircuitStore } from "../persistence/CircuitStore.ts"
import type { Endpoint } from "../persistence/EndpointCounts.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Signal, Signals } from "../telemetry/Signals.ts"

interface Decided extends CircuitChange {
  readonly url: string
}

export const makeCircuits = Effect.gen(function*() {
  const store = yield* CircuitStore
  const signals = yield* Signals

  const announce = (decided: Decided) =>
    Effect.zipRight(
      report(decided),
      PubSub.publish(signals, Signal.CircuitChanged({ webhookId: decided.webhookId, state: decided.circuit.state }))
    )

  const decideOn = (endpoints: ReadonlyArray<Endpoint>) =>
    Effect.gen(function*() {
      const decided = yield* Effect.forEach(endpoints, decide)
      const changes = decided.flat()
      const changed = changes.length === 0 ? new Set() : yield* store.change(changes)
      yield* Effect.forEach(
        changes.filter(({ circuit, from, webhookId }) => changed.has(webhookId) && circuit.state !== from.state),
        announce,
        { discard: true }
      )
      // Whoever is let out step by step asks again after each step.
      const closing = endpoints.filter(({ circuit, webhookId }) => circuit.ramp !== null || changed.has(webhookId))
      if (closing.length > 0) {
        yield* PubSub.publish(signals, Signal.WorkArrived({ webhookIds: closing.map(({ webhookId }) => webhookId) }))
      }
    }).pipe(
      Effect.catchTag("PersistenceError", (error) =>
        Effect.logWarning("circuits not decided on; their next attempts decide", error))
    )

  return (endpoints: ReadonlyArray<Endpoint>) => endpoints.length === 0 ? Effect.void : decideOn(endpoints)
})

const decide = (endpoint: Endpoint): Effect.Effect<ReadonlyArray<Decided>> =>
  Effect.map(Random.next, (jitter) => {
    const { circuit, circuitVersion, failureCount, url, webhookId } = endpoint
    const change = Circuit.observe(circuit, { ...endpoint, consecutiveFailures: failureCount }, jitter)
    return change === null ? [] : [{ ...change, webhookId, url, from: circuit, version: circuitVersion }]
  })

const report = ({ circuit: { state }, pauseMs, url, webhookId }: Decided) => {
  const host = hostOf(url)
  return Effect.zipRight(
    countEntered(url, state),
    state === "open"
      ? Effect.logWarning("circuit opened: nothing is sent until its pause is over", { webhookId, host, pauseMs })
      : Effect.logInfo("circuit closing: deliveries are let out step by step", { webhookId, host })
  )
}

/** Counts that the circuit of a webhook with this URL has come to a state. */
export const countEntered = (url: string, state: Circuit.CircuitState): Effect.Effect<void> => {
  const changes = Metric.tagged(Metrics.circuitChanges, "webhook_url_host", Metrics.hostTag(hostOf(url)))
  return Metric.increment(Metric.tagged(changes, "new_state", state))
}

const hostOf = (url: string): string => URL.canParse(url) ? new URL(url).host : "invalid"
