/** Hands what a publish committed straight to the Dispatcher, as far as the Bulkhead has room. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { randomUUID } from "node:crypto"
import type { Committed } from "../persistence/Committed.ts"
import type { LeaseOffer } from "../persistence/PublishRequest.ts"
import { Bulkhead } from "./Bulkhead.ts"
import { DeliveryQueue } from "./DeliveryQueue.ts"

export interface FastLane {
  /**
   * Hands `publish` an offer for the deliveries of so many events, null where there is no room, and what it leased to the
   * Dispatcher. Not to be interrupted from the offer to the hand-over, so that no lease is left without its attempt.
   */
  readonly send: <E, R>(
    events: number,
    publish: (offer: LeaseOffer | null) => Effect.Effect<Committed, E, R>
  ) => Effect.Effect<Committed, E, R>
  /** Whether much that came this way waits for its turn. A plain step: it is asked at every turn of the loop. */
  readonly isBusy: () => boolean
}

/**
 * As many as are sent while the next group is committed; and where there are few places, so few that the next group finds
 * some, too: what finds none would have to be claimed.
 */
const waitingMax = 256
const waitingShare = 1 / 4

export interface FastLaneOptions {
  readonly leaseSeconds: number
  /** Deliveries in hand at once. */
  readonly concurrency: number
}

export const make = (options: FastLaneOptions) =>
  Effect.gen(function*() {
    const bulkhead = yield* Bulkhead
    const queue = yield* DeliveryQueue
    const busyFrom = Math.min(waitingMax, Math.floor(options.concurrency * waitingShare))
    const leaseNanos = BigInt(options.leaseSeconds) * 1_000_000_000n

    const send: FastLane["send"] = (events, publish) =>
      Effect.uninterruptible(Effect.gen(function*() {
        const room = yield* bulkhead.reserve(events)
        if (room === null) return yield* publish(null)
        const { limited, mostPerWebhook, places } = room
        const leaseEndsAt = (yield* Clock.currentTimeNanos) + leaseNanos
        const offer = { token: randomUUID(), seconds: options.leaseSeconds, most: places, mostPerWebhook, limited }
        const exit = yield* Effect.exit(publish(offer))
        const leased = Exit.isSuccess(exit) ? exit.value.leased : []
        yield* bulkhead.settle(room, leased.map(({ webhookId }) => webhookId))
        // Never waits: the queue takes as many as there are places.
        yield* queue.offerAll(leased.map((delivery) => ({ delivery, leaseEndsAt, isFresh: true })))
        return yield* exit
      }))
    return { send, isBusy: () => queue.freshInLine() > busyFrom } satisfies FastLane
  })

/** Leases nothing. */
export const closed: FastLane = { send: (_, publish) => publish(null), isBusy: () => false }
