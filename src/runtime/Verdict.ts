/** From what came of an attempt to what is written: the delivery's next status, and when it is tried again. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Exchange } from "../domain/Attempt.ts"
import { type DeliveryFailure, isUncharged } from "../domain/DeliveryError.ts"
import * as Ids from "../domain/Ids.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import type { ClaimedDelivery } from "../persistence/Claim.ts"
import type { Outcome } from "../persistence/Outcomes.ts"

export type BackoffPolicy = Omit<RetryPolicy.RetryPolicy, "maxAttempts">

/** A plain answer: most attempts end with it. `nowMs` is Unix milliseconds. */
export const delivered = (delivery: ClaimedDelivery, exchange: Exchange, nowMs: number): Outcome => ({
  attemptId: Ids.makeAt("AttemptId", nowMs),
  deliveryId: delivery.id,
  leaseToken: delivery.leaseToken,
  result: "success",
  status: "delivered",
  delayMs: null,
  charged: true,
  counted: true,
  errorClass: null,
  errorMessage: null,
  exchange
})

export const failed = (
  delivery: ClaimedDelivery,
  failure: DeliveryFailure,
  policy: BackoffPolicy
): Effect.Effect<Outcome> =>
  Effect.gen(function*() {
    const counted = !isUncharged(failure.class)
    // A probe asks for the sake of all: one delivery alone must not spend its attempts on it.
    const charged = counted && !delivery.probe
    // What is not charged is never the last attempt, and waits longer each time all the same.
    const spent = charged ? delivery.chargedCount + 1 : delivery.attemptCount + 1
    const jitter = yield* Random.next
    const maxAttempts = delivery.probe ? Number.POSITIVE_INFINITY : delivery.retryCount
    const decision = RetryPolicy.decide({ ...policy, maxAttempts }, spent, failure, jitter)
    return {
      attemptId: yield* Ids.make("AttemptId"),
      deliveryId: delivery.id,
      leaseToken: delivery.leaseToken,
      result: resultOf(failure),
      status: decision.status,
      delayMs: decision.status === "failed_retryable" && !keepsPlace(delivery, failure) ? decision.delayMs : null,
      charged,
      counted,
      errorClass: failure.class,
      errorMessage: failure.message,
      exchange: failure.exchange
    }
  })

/** A probe that failed stays the first in its webhook's queue: the circuit's pause is its delay, unless it needs a longer one. */
const keepsPlace = ({ probe }: ClaimedDelivery, failure: DeliveryFailure): boolean =>
  probe && failure._tag === "RetryableFailure" && failure.retryAfterMs === null &&
  failure.class !== "blocked_address" &&
  !isUncharged(failure.class)

export const resultOf = (failure: DeliveryFailure) =>
  failure._tag === "PermanentFailure" ? "failure_permanent" : "failure_retryable"
