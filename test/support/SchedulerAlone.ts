/** The Scheduler alone, over a store of which every claim is seen. */
import { Chunk, type Duration, Effect, Layer, Logger, PubSub, Queue, Random, Ref, TestClock } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import type { ClaimedDelivery, ClaimRequest } from "../../src/persistence/Claim.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import type { DueWebhooks } from "../../src/persistence/DueWebhooks.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import { Bulkhead } from "../../src/runtime/Bulkhead.ts"
import { DeliveryQueue } from "../../src/runtime/DeliveryQueue.ts"
import * as Scheduler from "../../src/runtime/Scheduler.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { Signal, Signals } from "../../src/telemetry/Signals.ts"
import { claimed } from "./Deliveries.ts"

type Store = DeliveryStore["Type"]

export const away = new PersistenceError({ operation: "DeliveryStore.claim", cause: "away" })

/** As many as were allotted, for ever. */
export const backlog = ({ webhooks }: ClaimRequest) =>
  Effect.map(
    Effect.forEach(webhooks, ({ most, webhookId }) => Effect.replicateEffect(claimed({ webhookId }), most)),
    (deliveries) => deliveries.flat()
  )

export const nothing = Effect.succeed<ReadonlyArray<ClaimedDelivery>>([])

export const walkOf = (...webhooks: ReadonlyArray<Ids.WebhookId>) =>
  Effect.succeed<DueWebhooks>({ webhooks, next: null })

export const someWebhooks = (count: number) => Effect.replicateEffect(Ids.make("WebhookId"), count)

/** The scheduler over a store of which every claim is seen. */
export const scheduler = (
  answer: Store["claim"],
  others: Partial<Store> = {},
  { places = 64, perWebhook = 8, pollInterval = "1 second" as Duration.DurationInput } = {}
) =>
  Effect.gen(function*() {
    const claims = yield* Queue.unbounded<ClaimRequest>()
    const said = yield* Queue.unbounded<string>()
    const logger = Logger.make(({ message }) =>
      Queue.unsafeOffer(said, String(Array.isArray(message) ? message[0] : message))
    )
    const layer = Scheduler.layer({ pollInterval, leaseSeconds: 30 }).pipe(
      Layer.provideMerge(DeliveryQueue.layer),
      Layer.provideMerge(Bulkhead.layer({ places, placesPerWebhook: perWebhook })),
      Layer.provide(Layer.mock(DeliveryStore, {
        claim: (request) => Effect.zipRight(Queue.offer(claims, request), answer(request)),
        dueWebhooks: () => walkOf(),
        followClock: Effect.succeed({ nowMs: 0, putBackSeconds: 0 }),
        reclaimExpired: Effect.succeed({ ended: 0, setAside: 0 }),
        release: () => Effect.void,
        ...others
      })),
      Layer.provideMerge(Layer.merge(Signals.layer, Supervisor.layer)),
      Layer.provide(Logger.add(logger)),
      // Whole milliseconds: the TestClock has no nanoseconds of fractions.
      Layer.provide(Layer.setRandom(Random.fixed([0.5])))
    )
    return { claims, layer, said }
  })

/** Answers in turn; the last one for ever. */
export const inTurn = <A, E>(first: Effect.Effect<A, E>, ...others: ReadonlyArray<Effect.Effect<A, E>>) =>
  Effect.map(
    Ref.make([first, ...others]),
    (left) => () => Effect.flatten(Ref.modify(left, (all) => [all[0] ?? first, all.length > 1 ? all.slice(1) : all]))
  )

export const signal = (signal: Signal) => Effect.flatMap(Signals, (signals) => PubSub.publish(signals, signal))

export const workFor = (...webhookIds: ReadonlyArray<Ids.WebhookId>) => signal(Signal.WorkArrived({ webhookIds }))

/** An attempt of this webhook ended, and its place is free. */
export const attemptEnded = (webhookId: Ids.WebhookId) =>
  Effect.gen(function*() {
    const { id } = yield* claimed()
    yield* Effect.map(Bulkhead, (bulkhead) => bulkhead.leave(webhookId, 2_000))
    yield* signal(Signal.AttemptRecorded({ deliveryId: id, webhookId, status: "delivered" }))
  })

export const named = ({ webhooks }: ClaimRequest) => webhooks.map(({ webhookId }) => webhookId)

/** The poll has come to its pause. */
const pausing = Effect.repeat(Effect.zipRight(Effect.yieldNow(), TestClock.sleeps()), {
  until: Chunk.isNonEmpty
})

/** Longer than a poll interval with its jitter, and shorter than two. */
export const onePoll = Effect.zipRight(pausing, TestClock.adjust("1300 millis"))

export const settled = TestClock.adjust("1 millis")
