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

const named = (delivery: ClaimedDelivery) =>
  Effect.map(Ids.make("AttemptId"), (attemptId) => ({
    attemptId,
    deliveryId: delivery.id,
    leaseToken: delivery.leaseToken
  }))

export const delivered = (delivery: ClaimedDelivery, exchange: Exchange): Effect.Effect<Outcome> =>
  Effect.map(named(delivery), (names) => ({
    ...names,
    result: "success",
    status: "delivered",
    delayMs: null,
    charged: true,
    errorClass: null,
    errorMessage: null,
    exchange
  }))

export const failed = (
  delivery: ClaimedDelivery,
  failure: DeliveryFailure,
  policy: BackoffPolicy
): Effect.Effect<Outcome> =>
  Effect.gen(function*() {
    const charged = !isUncharged(failure.class)
    // What is not charged is never the last attempt, and waits longer each time all the same.
    const spent = charged ? delivery.chargedCount + 1 : delivery.attemptCount + 1
    const jitter = yield* Random.next
    const decision = RetryPolicy.decide({ ...policy, maxAttempts: delivery.retryCount }, spent, failure, jitter)
    return {
      ...(yield* named(delivery)),
      result: resultOf(failure),
      status: decision.status,
      delayMs: decision.status === "failed_retryable" ? decision.delayMs : null,
      charged,
      errorClass: failure.class,
      errorMessage: failure.message,
      exchange: failure.exchange
    }
  })

export const resultOf = (failure: DeliveryFailure) =>
  failure._tag === "PermanentFailure" ? "failure_permanent" : "failure_retryable"
