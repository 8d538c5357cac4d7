import { assert, describe, it } from "@effect/vitest"
import { Conflict, Forbidden, Invalid, NotFound, TooLarge } from "../../src/domain/Refusal.ts"

describe("a refusal says what is wrong in a sentence", () => {
  it("of what is not there", () => {
    assert.strictEqual(new NotFound({ resource: "api_key", id: "key_1" }).message, "There is no api key key_1.")
    assert.strictEqual(
      new NotFound({ resource: "event_type", id: "deal.won" }).message,
      "There is no event type deal.won."
    )
    assert.strictEqual(new NotFound({ resource: "webhook", id: "whk_1" }).message, "There is no webhook whk_1.")
  })

  it("of what the key may not", () => {
    assert.strictEqual(
      new Forbidden({ role: "viewer", permission: "write" }).message,
      "A key of role viewer has no permission to write here."
    )
  })

  it("of every issue with the input, the first one's code standing for all", () => {
    const invalid = new Invalid({
      issues: [
        { path: "events.0", code: "event_type_reserved", message: "taken" },
        { path: "", code: "other", message: "and the whole" }
      ]
    })
    assert.strictEqual(invalid.message, "events.0: taken; and the whole")
    assert.strictEqual(invalid.code, "event_type_reserved")
    const one = Invalid.one("url", "url_scheme", "not https")
    assert.deepStrictEqual([one.code, one.message, one.issues.length], ["url_scheme", "url: not https", 1])
  })

  it("of a conflict and of too many bytes, in the words of the one who refuses", () => {
    assert.strictEqual(new Conflict({ code: "already_exists", message: "It is there." }).message, "It is there.")
    assert.strictEqual(new TooLarge({ code: "payload_too_large", message: "Too much." }).message, "Too much.")
  })

  it("of a kind that a handler can tell from the others", () => {
    const refusals = [
      new Conflict({ code: "not_retryable", message: "" }),
      new Forbidden({ role: "viewer", permission: "write" }),
      Invalid.one("", "c", "m"),
      new NotFound({ resource: "event", id: "" }),
      new TooLarge({ code: "", message: "" })
    ]
    const tags = ["Conflict", "Forbidden", "Invalid", "NotFound", "TooLarge"]
    assert.deepStrictEqual(refusals.map(({ _tag }) => _tag), tags as never)
    for (const refusal of refusals) assert.instanceOf(refusal, Error)
  })
})
