import { assert, describe, it } from "@effect/vitest"
import { unsent } from "../../src/domain/Attempt.ts"
import { type RetryableClass, RetryableFailure } from "../../src/domain/DeliveryError.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"

const policy = { maxAttempts: 3, baseDelayMs: 1_000, maxDelayMs: 60_000, backoffFactor: 2 }

const statusAfter = (charged: number, reason: RetryableClass) =>
  RetryPolicy.decide(
    policy,
    charged,
    new RetryableFailure({ class: reason, message: "no", retryAfterMs: null, exchange: unsent(0) }),
    0.5
  ).status

describe("RetryPolicy.decide", () => {
  it("gives a delivery exactly as many attempts as its webhook has", () => {
    assert.deepStrictEqual(
      [1, 2, 3, 4].map((charged) => statusAfter(charged, "http_5xx")),
      ["failed_retryable", "failed_retryable", "failed_permanent", "failed_permanent"]
    )
  })

  it("never ends a delivery on an attempt that was not charged", () => {
    for (const charged of [0, 2, 3, 4]) assert.strictEqual(statusAfter(charged, "interrupted"), "failed_retryable")
  })
})
