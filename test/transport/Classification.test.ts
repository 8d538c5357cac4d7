import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { type Circumstances, ofError, ofStatus } from "../../src/transport/Classification.ts"
import { parseRetryAfter } from "../../src/transport/RetryAfter.ts"

const plain: Circumstances = { secure: false, reused: false, responding: false }

describe("Classification", () => {
  it.prop("gives every error a class and one sentence that repeats nothing of it", [
    fc.oneof(fc.string({ minLength: 12 }).map((text) => new Error(text)), fc.anything()),
    fc.record({ secure: fc.boolean(), reused: fc.boolean(), responding: fc.boolean() })
  ], ([error, circumstances]) => {
    const classified = ofError(error, circumstances)
    assert.match(classified.message, /^[A-Z].*\.$/)
    if (error instanceof Error) assert.notInclude(classified.message, error.message)
  })

  it.prop("is a success for 2xx only", [fc.integer({ min: 100, max: 999 })], ([status]) => {
    assert.strictEqual(ofStatus(status) === null, status >= 200 && status < 300)
  })

  it("tells errors of a socket in use apart by what was known of it", () => {
    const reset = Object.assign(new Error("x"), { code: "ECONNRESET" })
    const classOf = (circumstances: Partial<Circumstances>) => ofError(reset, { ...plain, ...circumstances }).class
    assert.strictEqual(classOf({}), "connect_reset")
    assert.strictEqual(classOf({ secure: true }), "tls_or_reset")
    assert.strictEqual(classOf({ reused: true, secure: true }), "conn_reset")
    assert.strictEqual(classOf({ responding: true }), "conn_reset")
  })

  it("calls a client that was closed under the attempt an interruption", () => {
    const destroyed = Object.assign(new Error("x"), { code: "UND_ERR_DESTROYED" })
    assert.strictEqual(ofError(destroyed, plain).class, "interrupted")
  })
})

describe("RetryAfter", () => {
  it("E45 reads the three spellings of a date", () => {
    const at = 784_111_777_000
    for (
      const text of [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994"
      ]
    ) {
      assert.strictEqual(parseRetryAfter(text, at - 1_000), 1_000, text)
      assert.isNull(parseRetryAfter(text, at))
    }
  })

  it.prop("E45 is null or finite and not negative, whatever was sent", [
    fc.oneof(
      fc.string(),
      fc.integer().map(String),
      fc.double().map(String),
      fc.bigInt().map(String),
      fc.date().map(String)
    ),
    fc.integer({ min: 0 })
  ], ([text, now]) => {
    const ms = parseRetryAfter(text, now)
    assert.isTrue(ms === null || (Number.isFinite(ms) && ms >= 0))
  })
})
