/** What is published in a drill, and the publisher's book: every event and delivery that was promised with a 202. */
import { Array as Arrays, Clock, type Duration, Effect, Fiber, Random } from "effect"
import type { ApiClient } from "../support/ApiClient.ts"
import { eventually } from "../support/Eventually.ts"
import * as Publisher from "./Publisher.ts"
import type { Reception } from "./Reception.ts"

const publishers = 4
const webhooks = 8
const batchMax = 40
const paddingMax = 1_500

export interface Load {
  /** Delivery ids, as the API writes them. */
  readonly promised: ReadonlySet<string>
  readonly promisedEvents: ReadonlySet<string>
  readonly answered: ReadonlyArray<Publisher.Answered>
  readonly unanswered: Effect.Effect<number>
  /** As fast as it goes, until so many more deliveries are promised. */
  readonly publish: (deliveries: number) => Effect.Effect<void>
  /** The same, and somewhere in the middle the blow falls; ends when both have ended. */
  readonly publishUnder: <A, E, R>(deliveries: number, blow: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** At a steady rate while the effect runs; a request that is under way at its end is carried through. */
  readonly publishWhile: <A, E, R>(perSecond: number, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export interface LoadOptions {
  readonly target: Effect.Effect<Publisher.Target>
  /** After which a request counts as unanswered and is repeated. */
  readonly patience?: Duration.DurationInput
  /** Of the events, the share that goes to every webhook. */
  readonly fanOutShare?: number
}

/** One webhook for each of `drill.to0`, `drill.to1` …, and all of them for `drill.toall`. */
export const register = (api: ApiClient, reception: Reception, policy: Readonly<Record<string, unknown>> = {}) =>
  Effect.forEach(Arrays.range(0, webhooks - 1), (n) =>
    api.register({
      name: `drill ${n}`,
      url: reception.url,
      events: [`drill.to${n}`, "drill.toall"],
      secret_key: reception.secret,
      retry_count: 20,
      ...policy
    }), { discard: true }).pipe(Effect.orDie)

interface Batch {
  readonly events: ReadonlyArray<Publisher.NewEvent>
  /** How many deliveries they make. */
  readonly deliveries: number
}

const eventOf = Effect.fnUntraced(function*(fanOutShare: number) {
  const isForAll = (yield* Random.next) < fanOutShare
  const to = isForAll ? "all" : String(yield* Random.nextIntBetween(0, webhooks))
  const padding = "x".repeat(yield* Random.nextIntBetween(0, paddingMax))
  return { deliveries: isForAll ? webhooks : 1, event: { event_type: `drill.to${to}`, payload: { to, padding } } }
})

const batchOf = (size: number, fanOutShare: number): Effect.Effect<Batch> =>
  Effect.map(Effect.replicateEffect(eventOf(fanOutShare), size), (made) => ({
    events: made.map(({ event }) => event),
    deliveries: made.reduce((sum, { deliveries }) => sum + deliveries, 0)
  }))

/** Carries batches through, and writes down what was promised. */
const makeBook = (publisher: Publisher.Publisher) =>
  Effect.gen(function*() {
    const name = yield* Random.nextIntBetween(0, 2 ** 31)
    const promised = new Set<string>()
    const promisedEvents = new Set<string>()
    let batches = 0

    const send = ({ deliveries, events }: Batch) =>
      Effect.gen(function*() {
        const answer = yield* publisher.publish(events, `drill-${name}-${++batches}`)
        for (const { event_id } of answer) promisedEvents.add(event_id)
        const ids = answer.flatMap(({ deliveries }) => deliveries.map(({ id }) => id))
        if (answer.length !== events.length || ids.length !== deliveries) {
          return yield* Effect.dieMessage(`${deliveries} deliveries were to be promised, and ${ids.length} were`)
        }
        for (const id of ids) promised.add(id)
      })

    /** Every publisher takes batches until there is none. */
    const sendAll = (next: Effect.Effect<Batch | null>) =>
      Effect.forEach(
        Arrays.range(1, publishers),
        () =>
          next.pipe(
            Effect.tap((batch) => batch === null ? Effect.void : send(batch)),
            Effect.repeat({ while: (batch) => batch !== null })
          ),
        { concurrency: "unbounded", discard: true }
      )

    return { promised, promisedEvents, sendAll }
  })

export const make = ({ fanOutShare = 0.1, patience = "5 seconds", target }: LoadOptions): Effect.Effect<Load> =>
  Effect.gen(function*() {
    const publisher = Publisher.make({ target, patience })
    const { promised, promisedEvents, sendAll } = yield* makeBook(publisher)

    const publish: Load["publish"] = (deliveries) =>
      Effect.suspend(() => {
        let left = deliveries
        return sendAll(Effect.gen(function*() {
          if (left <= 0) return null
          const batch = yield* batchOf(Math.min(left, yield* Random.nextIntBetween(1, batchMax + 1)), fanOutShare)
          left -= batch.deliveries
          return batch
        }))
      })

    const publishUnder: Load["publishUnder"] = (deliveries, blow) =>
      Effect.gen(function*() {
        const enough = promised.size + deliveries * (yield* Random.nextRange(0.2, 0.7))
        const publishing = yield* Effect.fork(publish(deliveries))
        const isTime = eventually(Effect.sync(() => promised.size), (size) => size >= enough, "5 minutes")
        yield* Effect.raceFirst(Effect.orDie(isTime), Fiber.join(publishing))
        const struck = yield* blow
        yield* Fiber.join(publishing)
        return struck
      })

    const publishWhile: Load["publishWhile"] = (perSecond, effect) =>
      Effect.gen(function*() {
        let isOver = false
        let dueAt = 0
        // What an outage kept from being published is not made up for: it would be another load than the one wanted.
        const paced = Effect.gen(function*() {
          const batch = yield* batchOf(yield* Random.nextIntBetween(1, batchMax / 4), fanOutShare)
          const now = yield* Clock.currentTimeMillis
          const at = Math.max(dueAt, now)
          dueAt = at + batch.deliveries * 1_000 / perSecond
          yield* Effect.sleep(at - now)
          return isOver ? null : batch
        })
        const publishing = yield* Effect.fork(sendAll(paced))
        const result = yield* effect
        isOver = true
        yield* Fiber.join(publishing)
        return result
      })

    const { answered, unanswered } = publisher
    return { promised, promisedEvents, answered, unanswered, publish, publishUnder, publishWhile }
  })
