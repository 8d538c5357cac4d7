/** Publishes over HTTP with as many connections as requests under way: one event a request, or many. */
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import { Agent } from "undici"
import type { Address, BenchEvent, Make } from "../Contender.ts"
import { Failure } from "../Failure.ts"

export interface HttpPublisherOptions {
  /** Events in a request: with 1 they go to `/api/events`, else to `/api/events/batch`. */
  readonly batch: number
  readonly connections: number
}

const bodyOf = ({ payload, type }: BenchEvent) => ({ event_type: type, payload })

/** With undici's `dispatch`, as the service sends: whoever publishes shares two cores with it, and is not what is measured. */
const makePost = (agent: Agent, { base, key }: Address) => {
  const headers = ["authorization", `Bearer ${key}`, "content-type", "application/json"]
  return (path: string, body: unknown): Promise<void> =>
    new Promise((resolve, reject) => {
      let status = 0
      let text = ""
      agent.dispatch({ origin: base, path, method: "POST", headers, body: JSON.stringify(body) }, {
        // undici takes a handler without it for one of its older kind.
        onRequestStart: constVoid,
        onResponseStart: (_, statusCode) => {
          status = statusCode
        },
        onResponseData: (_, chunk) => {
          if (status !== 202) text += chunk.toString()
        },
        onResponseEnd: () =>
          status === 202 ? resolve() : reject(new Error(`${base}${path} answered ${status} ${text}`)),
        onResponseError: (_, error) => reject(error)
      })
    })
}

export const make = ({ batch, connections }: HttpPublisherOptions): Make => ({ address }) =>
  Effect.gen(function*() {
    if (address === null) {
      return yield* new Failure({ problem: "no service to publish to", advice: "Start one that is served first" })
    }
    const agent = yield* Effect.acquireRelease(
      Effect.sync(() => new Agent({ connections, pipelining: 1, keepAliveTimeout: 60_000 })),
      (agent) => Effect.promise(() => agent.destroy())
    )
    const post = makePost(agent, address)
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
