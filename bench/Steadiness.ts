/** How long it takes from publishing to the receiver at a steady rate, and what that costs. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Failure } from "./Failure.ts"
import type { Stage } from "./Stage.ts"
import { quantile } from "./Table.ts"
import { costOf } from "./Throughput.ts"
import type { Column, Values } from "./Trial.ts"

export interface SteadinessOptions {
  readonly eventTypes: ReadonlyArray<string>
  readonly perSecond: number
  readonly seconds: number
  /** After the last was published. What has not come by then counts as having taken so long. */
  readonly patience: Duration.DurationInput
}

export const columns: readonly [Column, ...ReadonlyArray<Column>] = [
  { key: "p99", title: "p99 ms", digits: 1 },
  { key: "p50", title: "p50 ms", digits: 1 },
  { key: "max", title: "max ms", digits: 0 },
  { key: "late", title: "not received, %", digits: 1 },
  { key: "refused", title: "not taken, %", digits: 1 },
  { key: "ackP50", title: "publish p50 ms", digits: 1 },
  { key: "ackP99", title: "publish p99 ms", digits: 1 }
]

export const measure = (stage: Stage, options: SteadinessOptions): Effect.Effect<Values, Failure> =>
  Effect.gen(function*() {
    const { eventTypes, patience, perSecond, seconds } = options
    const { fanOut, publisher, reception } = stage
    yield* reception.reset
    const before = yield* stage.cost
    const published = yield* publisher.ask("steady", { eventTypes, payloadBytes: 400, perSecond, seconds })
    const deliveries = (published.events - published.refused) * fanOut
    yield* Effect.timeoutOption(reception.timed(deliveries), patience)
    yield* Effect.sleep("400 millis")
    const after = yield* stage.cost
    const { latenciesUs } = yield* reception.seen
    const late = Math.max(0, deliveries - latenciesUs.length)
    const latencies = [...latenciesUs.map((us) => us / 1_000), ...Array<number>(late).fill(Duration.toMillis(patience))]
    const { now, peak } = yield* stage.memoryMiB
    return {
      p50: quantile(latencies, 0.5),
      p95: quantile(latencies, 0.95),
      p99: quantile(latencies, 0.99),
      max: quantile(latencies, 1),
      late: late * 100 / deliveries,
      refused: published.refused * 100 / published.events,
      deliveries,
      ackP50: quantile(published.answeredAfterUs, 0.5) / 1_000,
      ackP99: quantile(published.answeredAfterUs, 0.99) / 1_000,
      ...costOf(before, after, deliveries),
      memoryMiB: now,
      memoryPeakMiB: peak
    }
  })
