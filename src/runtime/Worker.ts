/**
 * Sends one delivery after the other, for ever. Most attempts end well, and to wake a fiber twice for each costs as much as
 * its signatures do. So all that is to be done then is plain steps, from the callback that brings the delivery to the one that
 * brings its answer, and the fiber sleeps until there is something that takes more: a failure, a log line, a span.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { constVoid } from "effect/Function"
import { isThere } from "../persistence/AtOnce.ts"
import type { ClaimedDelivery } from "../persistence/Claim.ts"
import { Bulkhead } from "./Bulkhead.ts"
import type { DeliveryQueue, LeasedDelivery } from "./DeliveryQueue.ts"
import { type Kept, LeaseKeeper } from "./LeaseKeeper.ts"

/** What a worker is at: its delivery from when it takes it, the lease from when an attempt begins, until both are let go. */
export interface Hand {
  delivery: ClaimedDelivery | null
  /** While its outcome is still to come. */
  lease: Kept | null
  /** What of it takes the worker's fiber; null where nothing does, and after a fiber was woken to end. */
  rest: Effect.Effect<number | null> | null
}

/**
 * Takes the next step with a delivery. Its effect is the last one, and answers how long the attempt took, in milliseconds, or
 * null where none was made. Where that is there at once, the worker is done with it; else its fiber has the rest.
 */
export type GoOn = (step: () => Effect.Effect<number | null>) => void

/** Begins the attempt at a delivery. */
export type Begin = (leased: LeasedDelivery, hand: Hand, goOn: GoOn) => void

type BeginIn = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => Begin

/** A worker. What is under way when it is interrupted comes to its end. */
export const make = (queue: DeliveryQueue["Type"], beginIn: BeginIn) =>
  Effect.gen(function*() {
    const bulkhead = yield* Bulkhead
    const keeper = yield* LeaseKeeper

    return Effect.withFiberRuntime<never>((fiber) => {
      const begin = beginIn(fiber)
      const hand: Hand = { delivery: null, lease: null, rest: null }
      let isEnding = false
      let wake: () => void = constVoid

      const leave = (attemptMs: number | null): void => {
        if (hand.delivery !== null) bulkhead.leave(hand.delivery.webhookId, attemptMs)
        hand.delivery = null
        hand.lease = null
      }
      const goOn: GoOn = (step) => {
        const rest = attempted(() => {
          const rest = step()
          if (!isThere(rest)) return rest
          leave(rest.value)
          return null
        })
        // Not within the callback: its connection is still at the end of this one's answer.
        if (rest === null) return queueMicrotask(next)
        hand.rest = rest
        wake()
      }
      const next = (): void => {
        if (isEnding) return wake()
        const leased = queue.next(next)
        if (leased === null) return
        hand.delivery = leased.delivery
        const begun = attempted(() => begin(leased, hand, goOn))
        if (begun !== undefined) goOn(() => begun)
      }

      const asleep = Effect.async<void>((resume) => {
        wake = () => resume(Effect.void)
        if (!isEnding) return next()
        if (hand.rest !== null || hand.delivery === null) wake()
      })
      // No outcome will come: its lease is left to end.
      const letGo = Effect.suspend(() =>
        Effect.map(keeper.drop(hand.lease === null ? [] : [hand.lease]), () => leave(null))
      )
      const finish = Effect.suspend(() => {
        const { rest } = hand
        hand.rest = null
        return rest === null ? Effect.void : Effect.tapErrorCause(Effect.map(rest, leave), () => letGo)
      })
      const end = Effect.suspend(() => {
        isEnding = true
        queue.leave(next)
        return hand.delivery === null ? Effect.void : Effect.zipRight(asleep, finish)
      })
      return Effect.uninterruptibleMask((restore) => {
        const loop: Effect.Effect<never> = Effect.flatMap(restore(asleep), () => Effect.flatMap(finish, () => loop))
        return Effect.onExit(loop, () => end)
      })
    })
  })

/** What it answers; a bug in it is an effect that dies of it. */
const attempted = <A>(step: () => A): A | Effect.Effect<never> => {
  try {
    return step()
  } catch (defect) {
    return Effect.die(defect)
  }
}
