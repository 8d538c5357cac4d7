import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import { Backlog } from "../persistence/Backlog.ts"
import { Inventory } from "../persistence/Inventory.ts"
import { DeliveryQueue } from "../runtime/DeliveryQueue.ts"
import { LeaseKeeper } from "../runtime/LeaseKeeper.ts"
import { type ActorState, restartsMax, Supervisor, windowMs } from "../runtime/Supervisor.ts"
import { authorize } from "../service/Access.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { nodeId, startedAt } from "../telemetry/NodeIdentity.ts"
import * as Prometheus from "../telemetry/Prometheus.ts"
import { version } from "../telemetry/Version.ts"
import { Api } from "./Api.ts"
import { CurrentCaller } from "./Authentication.ts"
import { NotReady } from "./Problem.ts"

const system = HttpApiBuilder.group(Api, "system", (handlers) =>
  Effect.gen(function*() {
    const node = yield* makeProcess
    const database = yield* makeDatabase
    return handlers.handle("get", () =>
      Effect.gen(function*() {
        yield* authorize(yield* CurrentCaller, "operate")
        return { ...yield* node, ...yield* database }
      }))
  }))

/** What this process alone knows. */
const makeProcess = Effect.gen(function*() {
  const leases = yield* LeaseKeeper
  const queue = yield* DeliveryQueue
  const supervisor = yield* Supervisor
  return Effect.gen(function*() {
    const node = {
      id: nodeId,
      pid: process.pid,
      startedAt: DateTime.unsafeMake(startedAt),
      uptimeSeconds: process.uptime()
    }
    return {
      node,
      supervisor: { strategy: "one_for_one" as const, restartsMax, withinSeconds: windowMs / 1_000 },
      actors: (yield* supervisor.actors).map(actorResource),
      queueDepth: yield* queue.depth,
      inFlight: (yield* Metric.value(Metrics.inflight)).value,
      leases: yield* leases.size
    }
  })
})

/** What is the same whichever node is asked. */
const makeDatabase = Effect.gen(function*() {
  const backlog = yield* Backlog
  const inventory = yield* Inventory
  return Effect.gen(function*() {
    const [roundTrip] = yield* Effect.timed(backlog.isWritable)
    const { heldByCircuit, heldByDeactivation, postgresVersion, ...waiting } = yield* backlog.snapshot
    const { registered, sizeBytes, ...counted } = yield* inventory.count
    return {
      ...waiting,
      heldBy: { circuit: heldByCircuit, deactivated: heldByDeactivation },
      webhooks: {
        registered,
        circuits: {
          closed: registered - counted.circuitOpen - counted.circuitHalfOpen,
          open: counted.circuitOpen,
          halfOpen: counted.circuitHalfOpen
        },
        deactivated: { owner: counted.offByOwner, gone: counted.offByGone, failures: counted.offByFailures }
      },
      partitions: { days: counted.partitionDays, oldest: counted.oldestDay, newest: counted.newestDay },
      database: { version: postgresVersion, sizeBytes, roundTripMs: Duration.toMillis(roundTrip) },
      versions: { service: version, node: process.version, postgres: postgresVersion }
    }
  })
})

/** Whoever asks gives up after a few seconds, long before a statement to a database that fell silent does. */
const readyWithin = "1 second"

/** Questions to a silent database go on for as long as statements may: no more of them than this keep a connection. */
const askingAtOnce = 2

const makeReady = Effect.gen(function*() {
  const backlog = yield* Backlog
  const asking = yield* Effect.makeSemaphore(askingAtOnce)
  return asking.withPermits(1)(backlog.isWritable).pipe(
    Effect.catchTag("PersistenceError", () => Effect.fail(unreachable)),
    Effect.filterOrFail((isWritable) => isWritable, () => readOnly),
    // The answer does not wait for the end of what it gave up on.
    Effect.disconnect,
    Effect.timeoutFail({ duration: readyWithin, onTimeout: () => unreachable })
  )
})

const probes = HttpApiBuilder.group(Api, "probes", (handlers) =>
  Effect.map(makeReady, (ready) =>
    handlers
      .handle("healthz", () => Effect.succeed({ status: "ok" as const }))
      .handle("readyz", () => Effect.as(ready, { status: "ok" as const }))
      .handle("metrics", () => Prometheus.render)))

export const layer = Layer.merge(system, probes)

const unreachable = new NotReady({
  code: "database_unreachable",
  message: "The database does not answer within a second, or has no connection to spare. What was accepted waits there."
})

const readOnly = new NotReady({
  code: "database_read_only",
  message: "The database answers and takes no writes, as a standby does. Nothing can be accepted until it does."
})

const actorResource = ({ lastCrash, since, ...actor }: ActorState) => ({
  ...actor,
  lastCrash: lastCrash === null ? null : { ...lastCrash, at: DateTime.unsafeMake(lastCrash.at) },
  since: DateTime.unsafeMake(since)
})
