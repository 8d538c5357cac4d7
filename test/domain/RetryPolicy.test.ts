import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { unsent } from "../../src/domain/Attempt.ts"
import {
  isUncharged,
  PermanentClass,
  PermanentFailure,
  RetryableClass,
  RetryableFailure
} from "../../src/domain/DeliveryError.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"

/** As wide as the settings allow. */
const policy = FastCheck.record({
  maxAttempts: FastCheck.integer({ min: 1, max: 20 }),
  baseDelayMs: FastCheck.double({ min: 10, max: 86_400_000, noNaN: true }),
  maxDelayMs: FastCheck.double({ min: 10, max: 604_800_000, noNaN: true }),
  backoffFactor: FastCheck.double({ min: 1, max: 100, noNaN: true })
})
const attempt = FastCheck.oneof(
  FastCheck.integer({ min: 1, max: 30 }),
  FastCheck.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
)
const jitter = FastCheck.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const retryAfter = FastCheck.option(
  FastCheck.oneof(
    FastCheck.double({ min: 0, max: 1e12, noNaN: true }),
    FastCheck.constantFrom(0, Infinity, Number.MAX_VALUE)
  )
)

const retryable = FastCheck.record({ class: FastCheck.constantFrom(...RetryableClass.literals), retryAfter }).map((
  failure
) =>
  new RetryableFailure({
    class: failure.class,
    message: "no",
    retryAfterMs: failure.retryAfter,
    exchange: unsent(0)
  })
)
const permanent = FastCheck.constantFrom(...PermanentClass.literals).map((of) =>
  new PermanentFailure({ class: of, message: "no", exchange: unsent(0) })
)

describe("RetryPolicy.delayMs", () => {
  it("is the design's formula, spread by a fifth to either side", () => {
    const seconds = { maxAttempts: 5, baseDelayMs: 10_000, maxDelayMs: 43_200_000, backoffFactor: 6 }
    const delays = [1, 2, 3, 4, 5, 6].map((n) => RetryPolicy.delayMs(seconds, n, 0.5, null))
    assert.deepStrictEqual(delays, [10_000, 60_000, 360_000, 2_160_000, 12_960_000, 43_200_000])
    assert.strictEqual(RetryPolicy.delayMs(seconds, 1, 0, null), 8_000)
    assert.strictEqual(RetryPolicy.delayMs(seconds, 1, 0.999_999_999, null), 12_000)
  })

  it.prop("stays within a fifth of base · factor^(n-1), capped", [policy, attempt, jitter], ([given, n, j]) => {
    const middle = Math.min(given.maxDelayMs, given.baseDelayMs * Math.pow(given.backoffFactor, n - 1))
    const delay = RetryPolicy.delayMs(given, n, j, null)
    assert.isAtLeast(delay, Math.floor(middle * 0.8))
    assert.isAtMost(delay, Math.ceil(middle * 1.2))
  })

  it.prop("never waits less than Retry-After, clamped to the longest delay", [policy, attempt, jitter, retryAfter], ([
    given,
    n,
    j,
    asked
  ]) => {
    const delay = RetryPolicy.delayMs(given, n, j, asked)
    const clamped = Math.min(asked ?? 0, given.maxDelayMs)
    assert.isAtLeast(delay, Math.floor(clamped))
    assert.isAtMost(delay, Math.ceil(Math.max(given.maxDelayMs * 1.2, clamped)))
    assert.isAtLeast(delay, RetryPolicy.delayMs(given, n, j, null), "and asking never shortens the wait")
  })

  it.prop("grows with the attempts where nothing is spread", [policy, attempt, attempt], ([given, a, b]) => {
    const pauseMs = (n: number) => RetryPolicy.delayMs(given, n, 0.5, null)
    assert.isAtMost(pauseMs(Math.min(a, b)), pauseMs(Math.max(a, b)))
  })

  it.prop("is a whole number of milliseconds for every input", [policy, attempt, jitter, retryAfter], ([
    given,
    n,
    j,
    asked
  ]) => {
    assert.isTrue(Number.isSafeInteger(RetryPolicy.delayMs(given, n, j, asked)))
  })
})

describe("RetryPolicy.decide", () => {
  it.prop("never tries a permanent failure again", [policy, FastCheck.nat(40), permanent, jitter], ([
    given,
    charged,
    failure,
    j
  ]) => {
    assert.deepStrictEqual(RetryPolicy.decide(given, charged, failure, j), { status: "failed_permanent" })
  })

  it.prop("ends a charged failure exactly when the attempts are used up", [
    policy,
    FastCheck.nat(40),
    retryable,
    jitter
  ], ([given, charged, failure, j]) => {
    const final = charged >= given.maxAttempts && !isUncharged(failure.class)
    assert.strictEqual(
      RetryPolicy.decide(given, charged, failure, j).status,
      final ? "failed_permanent" : "failed_retryable"
    )
  })

  it.prop("waits as long as delayMs says, an uncharged first failure as long as the first", [
    policy,
    FastCheck.nat(40),
    retryable.filter((failure) => failure.class !== "blocked_address" && failure.class !== "interrupted"),
    jitter
  ], ([given, charged, failure, j]) => {
    const decision = RetryPolicy.decide(given, charged, failure, j)
    if (decision.status === "failed_permanent") return assert.isAtLeast(charged, given.maxAttempts)
    const n = charged === 0 ? 1 : charged
    assert.strictEqual(decision.delayMs, RetryPolicy.delayMs(given, n, j, failure.retryAfterMs))
  })

  it.prop("B16 never tries a blocked address again before five minutes, and spreads what it holds back", [
    policy,
    FastCheck.nat(40),
    retryAfter,
    jitter
  ], ([given, charged, retryAfterMs, j]) => {
    const failure = new RetryableFailure({ class: "blocked_address", message: "no", retryAfterMs, exchange: unsent(0) })
    const decision = RetryPolicy.decide(given, charged, failure, j)
    if (decision.status === "failed_permanent") return assert.isAtLeast(charged, given.maxAttempts)
    const backoff = RetryPolicy.delayMs(given, Math.max(charged, 1), j, retryAfterMs)
    assert.strictEqual(decision.delayMs, Math.max(backoff, Math.round(300_000 + 60_000 * j)))
  })

  it("G61 makes again at once what was broken off to stop, however often that was", () => {
    const slow = { maxAttempts: 1, baseDelayMs: 10_000, maxDelayMs: 43_200_000, backoffFactor: 6 }
    const failure = new RetryableFailure({
      class: "interrupted",
      message: "stopped",
      retryAfterMs: null,
      exchange: unsent(0)
    })
    for (const attempt of [1, 2, 20]) {
      assert.deepStrictEqual(RetryPolicy.decide(slow, attempt, failure, 0.5), {
        status: "failed_retryable",
        delayMs: 0
      })
    }
  })

  it("B16 leaves the other classes at the pace of the policy", () => {
    const quick = { maxAttempts: 5, baseDelayMs: 100, maxDelayMs: 1_000, backoffFactor: 2 }
    for (const of of RetryableClass.literals.filter((one) => one !== "interrupted")) {
      const failure = new RetryableFailure({ class: of, message: "no", retryAfterMs: null, exchange: unsent(0) })
      const expected = of === "blocked_address" ? 330_000 : 100
      assert.deepInclude(RetryPolicy.decide(quick, 1, failure, 0.5), { delayMs: expected }, of)
    }
  })
})
