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
import { type Count, Inventory } from "../persistence/Inventory.ts"
import { Pool } from "../persistence/Postgres.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { DeliveryQueue } from "./DeliveryQueue.ts"
import { Supervisor } from "./Supervisor.ts"

const interval = "15 seconds"

export const layer = Layer.scopedDiscard(
  Effect.gen(function*() {
    const backlog = yield* Backlog
    const inventory = yield* Inventory
    const queue = yield* DeliveryQueue
    const pool = yield* Pool
    const supervisor = yield* Supervisor

    /** What this process alone knows, and forgets to say while nothing happens. */
    const node = Effect.gen(function*() {
      yield* Metric.set(Metrics.queueDepth, yield* queue.depth)
      const { busy, idle, waiting } = yield* pool
      yield* Metric.set(Metric.tagged(Metrics.connections, "state", "busy"), busy)
      yield* Metric.set(Metric.tagged(Metrics.connections, "state", "idle"), idle)
      yield* Metric.set(Metric.tagged(Metrics.connections, "state", "waiting"), waiting)
    })

    const sample = Effect.gen(function*() {
      yield* node
      const { heldByCircuit, heldByDeactivation, oldestDueAgeSeconds, waiting } = yield* backlog.snapshot
      yield* Metric.set(Metrics.oldestDueAge, oldestDueAgeSeconds)
      yield* Metric.set(Metric.tagged(Metrics.held, "hold", "circuit"), heldByCircuit)
      yield* Metric.set(Metric.tagged(Metrics.held, "hold", "deactivated"), heldByDeactivation)
      yield* Metric.set(Metrics.due, waiting)
      yield* setInventory(yield* inventory.count)
    }).pipe(
      Effect.catchTag(
        "PersistenceError",
        (error) => Effect.logWarning("gauges not sampled, the next round tries again", error)
      ),
      Effect.withTracerEnabled(false)
    )

    yield* Metrics.begin
    yield* supervisor.supervise(
      "Sampler",
      Effect.repeat(sample, Schedule.spaced(interval).pipe(Schedule.jittered)).pipe(Effect.zipRight(Effect.never))
    )
  })
)

const setInventory = ({ circuitHalfOpen, circuitOpen, registered, ...counted }: Count) =>
  Effect.gen(function*() {
    yield* Metric.set(Metrics.registered, registered)
    yield* Metric.set(Metric.tagged(Metrics.circuits, "state", "open"), circuitOpen)
    yield* Metric.set(Metric.tagged(Metrics.circuits, "state", "half_open"), circuitHalfOpen)
    yield* Metric.set(Metric.tagged(Metrics.circuits, "state", "closed"), registered - circuitOpen - circuitHalfOpen)
    yield* Metric.set(Metric.tagged(Metrics.switchedOff, "reason", "owner"), counted.offByOwner)
    yield* Metric.set(Metric.tagged(Metrics.switchedOff, "reason", "gone"), counted.offByGone)
    yield* Metric.set(Metric.tagged(Metrics.switchedOff, "reason", "failures"), counted.offByFailures)
    yield* Metric.set(Metrics.databaseSize, counted.sizeBytes)
    yield* Metric.set(Metrics.partitionDays, counted.partitionDays)
  })
