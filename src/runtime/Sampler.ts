/**
 * Keeps the gauges that the database alone can tell. They are of the whole database, and every node has them: take the
 * highest of the nodes, not the sum. One bounded question now and then costs less than one at each scrape of each node,
 * and OTLP, which nobody scrapes, gets them too.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import { Backlog } from "../persistence/Backlog.ts"
import { Inventory } from "../persistence/Inventory.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Supervisor } from "./Supervisor.ts"

const interval = "15 seconds"

export const layer = Layer.scopedDiscard(
  Effect.gen(function*() {
    const backlog = yield* Backlog
    const inventory = yield* Inventory
    const supervisor = yield* Supervisor

    const sample = Effect.gen(function*() {
      const { heldByCircuit, heldByDeactivation, oldestDueAgeSeconds } = yield* backlog.snapshot
      yield* Metric.set(Metrics.oldestDueAge, oldestDueAgeSeconds)
      yield* Metric.set(Metric.tagged(Metrics.held, "hold", "circuit"), heldByCircuit)
      yield* Metric.set(Metric.tagged(Metrics.held, "hold", "deactivated"), heldByDeactivation)
      yield* Metric.set(Metrics.registered, yield* inventory.registered)
    }).pipe(
      Effect.catchTag(
        "PersistenceError",
        (error) => Effect.logWarning("gauges not sampled, the next round tries again", error)
      ),
      Effect.withTracerEnabled(false)
    )

    yield* supervisor.supervise(
      "Sampler",
      Effect.repeat(sample, Schedule.spaced(interval).pipe(Schedule.jittered)).pipe(Effect.zipRight(Effect.never))
    )
  })
)
