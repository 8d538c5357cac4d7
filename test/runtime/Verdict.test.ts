import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck, Schema } from "effect"
import { unsent } from "../../src/domain/Attempt.ts"
import {
  isUncharged,
  PermanentClass,
  PermanentFailure,
  RetryableClass,
  RetryableFailure
} from "../../src/domain/DeliveryError.ts"
import { AttemptId, madeAt } from "../../src/domain/Ids.ts"
import * as Verdict from "../../src/runtime/Verdict.ts"
import { claimed } from "../support/Deliveries.ts"
import * as Rows from "../support/Rows.ts"

const policy: Verdict.BackoffPolicy = { baseDelayMs: 10_000, maxDelayMs: 43_200_000, backoffFactor: 6 }
const retryable = (of: RetryableClass, retryAfterMs: number | null = null) =>
  new RetryableFailure({ class: of, message: "it failed", retryAfterMs, exchange: unsent(7) })

describe("Verdict", () => {
  it.effect("of a success ends the delivery and is charged", () =>
    Effect.gen(function*() {
      const delivery = yield* claimed()
      const { attemptId, ...outcome } = Verdict.delivered(delivery, Rows.exchange(204), 1_700_000_000_000)
      assert.isTrue(Schema.is(AttemptId)(attemptId))
      assert.strictEqual(madeAt(attemptId), 1_700_000_000_000)
      assert.deepStrictEqual(outcome, {
        deliveryId: delivery.id,
        leaseToken: delivery.leaseToken,
        result: "success",
        status: "delivered",
        delayMs: null,
        charged: true,
        counted: true,
        errorClass: null,
        errorMessage: null,
        exchange: Rows.exchange(204)
      })
    }))

  it.effect("of a retryable failure names it and the delay, which grows with the attempts charged", () =>
    Effect.gen(function*() {
      for (const [chargedCount, middle] of [[0, 10_000], [1, 60_000], [2, 360_000], [3, 2_160_000]] as const) {
        const delivery = yield* claimed({ chargedCount, attemptCount: chargedCount + 3 })
        const { attemptId: _, delayMs, ...outcome } = yield* Verdict.failed(delivery, retryable("http_5xx"), policy)
        assert.isTrue(delayMs !== null && delayMs >= middle * 0.8 && delayMs <= middle * 1.2, `${delayMs}`)
        assert.deepStrictEqual(outcome, {
          deliveryId: delivery.id,
          leaseToken: delivery.leaseToken,
          result: "failure_retryable",
          status: "failed_retryable",
          charged: true,
          counted: true,
          errorClass: "http_5xx",
          errorMessage: "it failed",
          exchange: unsent(7)
        })
      }
    }))

  it.effect("waits as long as the receiver asked", () =>
    Effect.gen(function*() {
      const { delayMs } = yield* Verdict.failed(yield* claimed(), retryable("http_429", 3_600_000), policy)
      assert.strictEqual(delayMs, 3_600_000)
    }))

  it.effect.prop(
    "of a charged failure ends the delivery at the webhook's retry_count",
    {
      chargedCount: FastCheck.nat(25),
      retryCount: FastCheck.integer({ min: 1, max: 20 }),
      of: FastCheck.constantFrom(...RetryableClass.literals)
    },
    ({ chargedCount, of, retryCount }) =>
      Effect.gen(function*() {
        const outcome = yield* Verdict.failed(yield* claimed({ chargedCount, retryCount }), retryable(of), policy)
        const final = !isUncharged(of) && chargedCount + 1 >= retryCount
        assert.strictEqual(outcome.status, final ? "failed_permanent" : "failed_retryable")
        assert.strictEqual(outcome.result, "failure_retryable", "the attempt itself might have passed later")
        assert.strictEqual(outcome.delayMs === null, final)
        assert.strictEqual(outcome.charged, !isUncharged(of))
      })
  )

  it.effect.prop("of a permanent failure ends the delivery at once", {
    of: FastCheck.constantFrom(...PermanentClass.literals)
  }, ({
    of
  }) =>
    Effect.gen(function*() {
      const failure = new PermanentFailure({ class: of, message: "never", exchange: unsent(7) })
      const outcome = yield* Verdict.failed(yield* claimed(), failure, policy)
      assert.deepInclude(outcome, {
        result: "failure_permanent",
        status: "failed_permanent",
        delayMs: null,
        charged: true,
        counted: true,
        errorClass: of,
        errorMessage: "never"
      })
    }))
})
