/** One webhook that answers at once, and events for it at a steady rate: how long each takes from publish to receipt. */
import { Effect, Random, Schedule } from "effect"
import { performance } from "node:perf_hooks"
import type { ApiClient } from "../support/ApiClient.ts"
import { eventually } from "../support/Eventually.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"

/** Low enough that the machine is not busy with it. */
const everyMs = 50

export interface HealthyWebhook {
  /** Publishes for so long, waits until all has arrived, and answers the latencies in milliseconds. */
  readonly measure: (seconds: number) => Effect.Effect<ReadonlyArray<number>>
  readonly counts: Effect.Effect<{ readonly published: number; readonly arrived: number }>
}

export const make = (api: ApiClient) =>
  Effect.gen(function*() {
    const sentAt = new Map<number, number>()
    const latencies = new Map<number, number>()
    const receiver = yield* ScriptedReceiver.make(({ text }) => {
      const n = Number(/"n": (\d+)/.exec(text)?.[1])
      if (!latencies.has(n)) latencies.set(n, performance.now() - (sentAt.get(n) ?? Number.NaN))
      return { status: 200 }
    })
    yield* Effect.orDie(api.register({ name: "healthy", url: receiver.url(), events: ["healthy.*"] }))

    const publish = Effect.suspend(() => {
      const n = sentAt.size
      sentAt.set(n, performance.now())
      return Effect.orDie(api.publish("healthy.beat", { n }))
    })

    const measure = (seconds: number) =>
      Effect.gen(function*() {
        const first = sentAt.size
        const beats = Math.round(seconds * 1_000 / everyMs)
        // Never waits for an answer: a slow one must not thin out what is measured. The spread is the seed's.
        yield* Effect.gen(function*() {
          yield* Effect.sleep(yield* Random.nextIntBetween(0, everyMs / 2))
          yield* publish
        }).pipe(Effect.fork, Effect.repeat(Schedule.zipRight(Schedule.fixed(everyMs), Schedule.recurs(beats - 1))))
        const all = first + beats
        yield* eventually(Effect.sync(() => latencies.size), (arrived) => arrived === all).pipe(Effect.orDie)
        return [...latencies].filter(([n]) => n >= first).map(([, ms]) => ms)
      })

    const webhook: HealthyWebhook = {
      measure,
      counts: Effect.sync(() => ({ published: sentAt.size, arrived: latencies.size }))
    }
    return webhook
  })

/** Of at least one value. */
export const percentile = (values: ReadonlyArray<number>, share: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN
