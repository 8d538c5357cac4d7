import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Backlog } from "../persistence/Backlog.ts"
import { DeliveryQueue } from "../runtime/DeliveryQueue.ts"
import { type ActorState, Supervisor } from "../runtime/Supervisor.ts"
import { authorize } from "../service/Access.ts"
import * as Prometheus from "../telemetry/Prometheus.ts"
import { version } from "../telemetry/Version.ts"
import { Api } from "./Api.ts"
import { CurrentCaller } from "./Authentication.ts"

const system = HttpApiBuilder.group(Api, "system", (handlers) =>
  Effect.gen(function*() {
    const backlog = yield* Backlog
    const queue = yield* DeliveryQueue
    const supervisor = yield* Supervisor
    return handlers.handle("get", () =>
      Effect.gen(function*() {
        yield* authorize(yield* CurrentCaller, "operate")
        const { postgresVersion, ...waiting } = yield* backlog.snapshot
        return {
          ...waiting,
          actors: (yield* supervisor.actors).map(actorResource),
          queueDepth: yield* queue.depth,
          versions: { service: version, node: process.version, postgres: postgresVersion }
        }
      }))
  }))

const probes = HttpApiBuilder.group(Api, "probes", (handlers) =>
  Effect.map(Backlog, (backlog) =>
    handlers
      .handle("healthz", () => Effect.succeed({ status: "ok" as const }))
      .handle("readyz", () => Effect.as(backlog.ping, { status: "ok" as const }))
      .handle("metrics", () => Prometheus.render)))

export const layer = Layer.merge(system, probes)

const actorResource = ({ lastCrash, since, ...actor }: ActorState) => ({
  ...actor,
  lastCrash: lastCrash === null ? null : { ...lastCrash, at: DateTime.unsafeMake(lastCrash.at) },
  since: DateTime.unsafeMake(since)
})
