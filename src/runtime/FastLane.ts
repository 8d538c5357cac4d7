/** Lets publishers hand what they committed straight to the Dispatcher, as far as the Bulkhead has room. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { randomUUID } from "node:crypto"
import { FastLane } from "../service/FastLane.ts"
import { Bulkhead } from "./Bulkhead.ts"
import { DeliveryQueue } from "./DeliveryQueue.ts"

export const layer = (options: { readonly leaseSeconds: number }) =>
  Layer.effect(
    FastLane,
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead
      const queue = yield* DeliveryQueue
      const leaseNanos = BigInt(options.leaseSeconds) * 1_000_000_000n

      return FastLane.of({
        send: (events, publish) =>
          Effect.uninterruptible(Effect.gen(function*() {
            const room = yield* bulkhead.reserve(events)
            if (room === null) return yield* publish(null)
            const { except, mostPerWebhook, places } = room
            const leaseEndsAt = (yield* Clock.currentTimeNanos) + leaseNanos
            const offer = { token: randomUUID(), seconds: options.leaseSeconds, most: places, mostPerWebhook, except }
            const exit = yield* Effect.exit(publish(offer))
            const leased = Exit.isSuccess(exit) ? exit.value.leased : []
            yield* bulkhead.settle(room, leased.map(({ webhookId }) => webhookId))
            // Never waits: the queue takes as many as there are places.
            yield* queue.offerAll(leased.map((delivery) => ({ delivery, leaseEndsAt })))
            return yield* exit
          }))
      })
    })
  )

/** Where nothing is sent, nothing is leased. */
export const layerClosed = Layer.succeed(FastLane, FastLane.of({ send: (_, publish) => publish(null) }))
