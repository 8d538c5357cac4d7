import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  ErrorClass,
  isUncharged,
  PermanentClass,
  PermanentFailure,
  RetryableClass,
  RetryableFailure
} from "../../src/domain/DeliveryError.ts"

const permanent = new Set<ErrorClass>(PermanentClass.literals)
const all = new Set<ErrorClass>([...RetryableClass.literals, ...PermanentClass.literals])

describe("the classes of failure", () => {
  it("are retryable or permanent; only a forbidden address is both, by name and by number", () => {
    assert.deepStrictEqual(RetryableClass.literals.filter((name) => permanent.has(name)), ["blocked_address"])
    for (const name of all) assert.isTrue(Schema.is(ErrorClass)(name), name)
    assert.isFalse(Schema.is(ErrorClass)("http_2xx"))
  })

  it("are named once each, in words that fit a column", () => {
    assert.strictEqual(new Set(RetryableClass.literals).size, RetryableClass.literals.length)
    assert.strictEqual(new Set(PermanentClass.literals).size, PermanentClass.literals.length)
    for (const name of all) assert.match(name, /^[a-z0-9_]{3,32}$/)
  })

  it("spend no attempt where the trouble is ours, or nobody knows", () => {
    const uncharged = new Set<string>(["local_resource", "secret_unreadable", "interrupted", "outcome_unknown"])
    for (const name of all) assert.strictEqual(isUncharged(name), uncharged.has(name), name)
    assert.lengthOf(PermanentClass.literals.filter(isUncharged), 0, "what ends a delivery is charged to it")
  })

  it.prop("survive being written down", [RetryableFailure, PermanentFailure], ([retryable, final]) => {
    const Either = Schema.Union(RetryableFailure, PermanentFailure)
    for (const failure of [retryable, final]) {
      const back = Schema.decodeSync(Either)(Schema.encodeSync(Either)(failure))
      assert.strictEqual(back._tag, failure._tag)
      assert.deepStrictEqual(back.exchange, failure.exchange)
      assert.strictEqual(back.class, failure.class)
    }
  })
})
