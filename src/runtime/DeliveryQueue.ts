/**
 * The hand-over from Scheduler to Dispatcher. It takes what the Bulkhead has places for, so nothing waits in it while
 * its lease runs; what is due beyond that stays in Postgres. What is still in it at the end goes back, unsent.
 */
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type { ClaimedDelivery } from "../persistence/Claim.ts"
import { DeliveryStore } from "../persistence/DeliveryStore.ts"

/** A delivery that this node may send until its lease ends. */
export interface LeasedDelivery {
  readonly delivery: ClaimedDelivery
  /** Nanoseconds of the monotonic clock. Counted from before the claim, so it is never later than the database's end. */
  readonly leaseEndsAt: bigint
}

export class DeliveryQueue extends Context.Tag("deeper-hub-webhooks/runtime/DeliveryQueue")<DeliveryQueue, {
  readonly take: Effect.Effect<LeasedDelivery>
  readonly offerAll: (deliveries: ReadonlyArray<LeasedDelivery>) => Effect.Effect<void>
  readonly depth: Effect.Effect<number>
}>() {
  static readonly layer = (capacity: number) => Layer.scoped(this, make(capacity))
}

const make = (capacity: number) =>
  Effect.gen(function*() {
    const queue = yield* Effect.acquireRelease(Queue.bounded<LeasedDelivery>(capacity), yield* makeGiveBack)
    return DeliveryQueue.of({
      take: Queue.take(queue),
      offerAll: (deliveries) => Effect.asVoid(Queue.offerAll(queue, deliveries)),
      depth: Effect.map(Queue.size(queue), (size) => Math.max(size, 0))
    })
  })

const makeGiveBack = Effect.map(
  DeliveryStore,
  (store) => (queue: Queue.Queue<LeasedDelivery>) =>
    Effect.gen(function*() {
      const unsent = Chunk.toReadonlyArray(yield* Queue.takeAll(queue))
      yield* Queue.shutdown(queue)
      if (unsent.length === 0) return
      yield* store.release(unsent.map(({ delivery }) => delivery))
      yield* Effect.logInfo("unsent deliveries given back", { count: unsent.length })
    }).pipe(
      Effect.catchTag(
        "PersistenceError",
        (error) => Effect.logWarning("unsent deliveries are due again when their leases end", error)
      )
    )
)

/** Milliseconds that are left of a lease; both in nanoseconds of the monotonic clock. */
export const remainingMs = (leaseEndsAt: bigint, now: bigint): number => Number((leaseEndsAt - now) / 1_000_000n)
