/** Publishes over HTTP with as many connections as requests under way: one event a request, or many. */
import * as Effect from "effect/Effect"
import { Agent, request } from "undici"
import type { Make } from "../Contender.ts"
import type { BenchEvent } from "../Contender.ts"
import { Failure } from "../Failure.ts"

export interface HttpPublisherOptions {
  /** Events in a request: with 1 they go to `/api/events`, else to `/api/events/batch`. */
  readonly batch: number
  readonly connections: number
}

const bodyOf = ({ payload, type }: BenchEvent) => ({ event_type: type, payload })

const post = async (agent: Agent, url: string, key: string, body: unknown): Promise<void> => {
  const answer = await request(url, {
    dispatcher: agent,
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body)
  })
  if (answer.statusCode !== 202) throw new Error(`${url} answered ${answer.statusCode} ${await answer.body.text()}`)
  await answer.body.dump()
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
    const single = `${address.base}/api/events`
    return {
      batch,
      inFlight: connections,
      publish: {
        kind: "promise" as const,
        run: (events: ReadonlyArray<BenchEvent>) => {
          const [first] = events
          return batch === 1 && first !== undefined
            ? post(agent, single, address.key, bodyOf(first))
            : post(agent, `${single}/batch`, address.key, { events: events.map(bodyOf) })
        }
      }
    }
  })
