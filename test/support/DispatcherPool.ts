/** The Dispatcher alone, between a queue that tests fill and a recorder that keeps what it is told. */
import { Effect, Layer, Queue } from "effect"
import { constVoid } from "effect/Function"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { Bulkhead } from "../../src/runtime/Bulkhead.ts"
import { DeliveryQueue, type LeasedDelivery } from "../../src/runtime/DeliveryQueue.ts"
import * as Dispatcher from "../../src/runtime/Dispatcher.ts"
import { LeaseKeeper } from "../../src/runtime/LeaseKeeper.ts"
import { OutcomeRecorder } from "../../src/runtime/OutcomeRecorder.ts"
import type { PendingOutcome } from "../../src/runtime/PendingOutcomes.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { Courier } from "../../src/service/Courier.ts"
import * as Rows from "./Rows.ts"

export type Deliver = Courier["Type"]["deliver"]
export type Begin = Courier["Type"]["begin"]
export type Release = DeliveryStore["Type"]["release"]

interface Parts {
  readonly deliver?: Deliver
  readonly begin?: Begin
  readonly concurrency?: number
  readonly release?: Release
  /** Whether the recorder takes no outcome that nobody waits with. */
  readonly isFull?: boolean
}

export const places = 64

/** What came of a claim: the places are taken, the deliveries in the queue. */
export const claim = (...deliveries: ReadonlyArray<LeasedDelivery>) =>
  Effect.gen(function*() {
    const bulkhead = yield* Bulkhead
    yield* bulkhead.enter([], deliveries.map(({ delivery }) => delivery.webhookId))
    yield* offer(...deliveries)
  })

export const free = Effect.flatMap(Bulkhead, (bulkhead) => bulkhead.free)

/** The dispatcher between a queue and a recorder that keeps what it is told. */
export const pool = (
  { concurrency = 2, deliver = () => Effect.succeed(ok), isFull = false, release = () => Effect.void, ...parts }: Parts
) =>
  Effect.gen(function*() {
    const outcomes = yield* Queue.unbounded<PendingOutcome>()
    const layer = Dispatcher.layer({
      concurrency,
      retryPolicy: { baseDelayMs: 10_000, maxDelayMs: 43_200_000, backoffFactor: 6 }
    }).pipe(
      Layer.provideMerge(DeliveryQueue.layer),
      Layer.provideMerge(Bulkhead.layer({ places, placesPerWebhook: places })),
      Layer.provide(Layer.succeed(OutcomeRecorder, {
        offer: (outcome) => !isFull && outcomes.unsafeOffer(outcome),
        record: (outcome) => Effect.asVoid(Queue.offer(outcomes, outcome))
      })),
      Layer.provide(Layer.mock(LeaseKeeper, {
        keep: ({ id, leaseToken }, since) => ({ id, leaseToken, since, isDropped: false }),
        drop: () => Effect.void
      })),
      Layer.provide(Layer.mock(DeliveryStore, { release })),
      Layer.provide(Layer.succeed(Courier, {
        deliver,
        begin: parts.begin ?? ((parcel, traceparent, _, end) => {
          end(deliver(parcel, traceparent))
          return constVoid
        })
      })),
      Layer.provideMerge(Supervisor.layer)
    )
    return { layer, outcomes }
  })

export const offer = (...deliveries: ReadonlyArray<LeasedDelivery>) =>
  Effect.flatMap(DeliveryQueue, (queue) => queue.offerAll(deliveries))

export const restarts = Effect.flatMap(
  Supervisor,
  (supervisor) => Effect.map(supervisor.actors, (actors) => actors.map((actor) => actor.restarts))
)

export const ok = Rows.exchange(200)
