/** Deliveries a second from the first publish to the last outcome in Postgres, and what they cost. */
import * as Effect from "effect/Effect"
import type { Failure } from "./Failure.ts"
import type { AsFastAsItGoes } from "./Load.ts"
import { microseconds } from "./Monotonic.ts"
import * as Outcomes from "./Outcomes.ts"
import type { Cost, Stage } from "./Stage.ts"
import type { Values } from "./Trial.ts"

export interface ThroughputOptions {
  /** Publishers that wait for their answers at once. */
  readonly inFlight: number
  readonly payloadBytes: number
  /** For how long is published; deliveries have the time that they need. */
  readonly seconds: number
  /** For less of a warm-up. */
  readonly isQuick: boolean
}

/** Far more than any contender should need for what it took in. */
const patience = "10 minutes"

/** Publishes, and waits until Postgres has the outcome of everything. */
export const carryThrough = (stage: Stage, load: AsFastAsItGoes) =>
  Effect.gen(function*() {
    const { entry, fanOut, publisher, reception, sql } = stage
    const since = yield* Outcomes.now(sql)
    yield* reception.reset
    const published = yield* publisher.ask("asFastAsItGoes", load)
    const deliveries = published.events * fanOut
    // Postgres is asked only once there is nothing left to send.
    yield* Effect.timeoutOption(reception.received(deliveries), patience)
    yield* Outcomes.awaited(sql, entry.outcomes, since, deliveries, "1 minute")
    return { since, published, deliveries, seconds: (microseconds() - published.startedAt) / 1e6 }
  })

/** Deliveries until what has much code is compiled, too, connections are open and caches are filled. */
const warmUpDeliveries = (isQuick: boolean): number => isQuick ? 500 : 6_000

export const warmUp = (stage: Stage, isQuick: boolean) =>
  carryThrough(stage, {
    eventTypes: stage.eventTypes,
    payloadBytes: 400,
    inFlight: 64,
    until: { events: Math.ceil(warmUpDeliveries(isQuick) / stage.fanOut) }
  }).pipe(
    // What it left to be tidied up is not part of what is measured.
    Effect.zipRight(Effect.sleep("700 millis"))
  )

export const measure = (stage: Stage, options: ThroughputOptions): Effect.Effect<Values, Failure> =>
  Effect.gen(function*() {
    const { eventTypes, entry, sql } = stage
    const { inFlight, isQuick, payloadBytes, seconds } = options
    yield* warmUp(stage, isQuick)
    const before = yield* stage.cost
    const done = yield* carryThrough(stage, { eventTypes, payloadBytes, inFlight, until: { seconds } })
    // Some settle their jobs a while after the outcome, and that is part of the work.
    yield* Effect.sleep("400 millis")
    const after = yield* stage.cost
    const { repeated } = yield* Outcomes.verify(sql, entry.outcomes, done.since, done.deliveries)
    const { unsigned } = yield* stage.reception.seen
    const { now, peak } = yield* stage.memoryMiB
    return {
      perSecond: done.deliveries / done.seconds,
      publishedPerSecond: done.published.events * 1e6 / (done.published.endedAt - done.published.startedAt),
      deliveries: done.deliveries,
      seconds: done.seconds,
      ...costOf(before, after, done.deliveries),
      memoryMiB: now,
      memoryPeakMiB: peak,
      repeated,
      unsigned
    }
  })

/** CPU seconds for each thousand deliveries. */
export const costOf = (before: Cost, after: Cost, deliveries: number) => {
  const per1000 = (of: keyof Cost) => (after[of] - before[of]) * 1_000 / deliveries
  const parts = {
    senderCpu: per1000("sender"),
    publisherCpu: per1000("publisher"),
    postgresCpu: per1000("postgres"),
    redisCpu: per1000("redis")
  }
  return { cpu: parts.senderCpu + parts.publisherCpu + parts.postgresCpu + parts.redisCpu, ...parts }
}
