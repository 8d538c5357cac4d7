/** Publishes over HTTP with as many connections as requests under way: one event a request, or many. */
import * as Effect from "effect/Effect"
import type { BenchEvent, Make } from "../Contender.ts"
import { Failure } from "../Failure.ts"
import { HttpConnection } from "./HttpConnection.ts"

export interface HttpPublisherOptions {
  /** Events in a request: with 1 they go to `/api/events`, else to `/api/events/batch`. */
  readonly batch: number
  readonly connections: number
}

const bodyOf = ({ payload, type }: BenchEvent) => ({ event_type: type, payload })

export const make = ({ batch, connections }: HttpPublisherOptions): Make => ({ address }) =>
  Effect.gen(function*() {
    if (address === null) {
      return yield* new Failure({ problem: "no service to publish to", advice: "Start one that is served first" })
    }
    const { base, key } = address
    const all = yield* Effect.acquireRelease(
      Effect.sync(() => Array.from({ length: connections }, () => new HttpConnection(base, key))),
      (all) => Effect.sync(() => all.forEach((connection) => connection.end()))
    )
    const idle = [...all]
    const post = async (path: string, body: unknown): Promise<void> => {
      const connection = idle.pop()
      if (connection === undefined) throw new Error("there are more requests under way than connections")
      await connection.post(path, body)
      idle.push(connection)
    }
    return {
      batch,
      inFlight: connections,
      publish: {
        kind: "promise" as const,
        run: (events: ReadonlyArray<BenchEvent>) => {
          const [first] = events
          return batch === 1 && first !== undefined
            ? post("/api/events", bodyOf(first))
            : post("/api/events/batch", { events: events.map(bodyOf) })
        }
      }
    }
  })
