import { assert, describe, it } from "@effect/vitest"
import { FastCheck, Schema } from "effect"
import * as EventType from "../../src/domain/EventType.ts"

const isName = Schema.is(EventType.EventTypeName)
const isSubscription = Schema.is(EventType.Subscription)

// Few and alike, so that types and subscriptions meet often.
const segment = FastCheck.constantFrom("deal", "dealer", "won", "stage_changed", "x-1", "A")
const name = FastCheck.array(segment, { minLength: 1, maxLength: 4 }).map((segments) =>
  EventType.EventTypeName.make(segments.join("."))
)
const subscription = FastCheck.oneof(
  name,
  name.map((prefix) => `${prefix}.*`),
  FastCheck.constant("*")
).map((text) => EventType.Subscription.make(text))

/** What a subscription means, as its documentation says it. */
const matches = (wanted: EventType.Subscription, type: EventType.EventTypeName): boolean => {
  if (wanted === "*") return true
  return wanted.endsWith(".*") ? type.startsWith(wanted.slice(0, -1)) : type === wanted.toString()
}

describe("subscriptions", () => {
  it.prop(
    "match a type exactly, below a prefix, or always",
    [FastCheck.array(subscription, { maxLength: 5 }), name],
    ([subscriptions, type]) => {
      assert.strictEqual(
        EventType.isSubscribed(subscriptions, type),
        subscriptions.some((wanted) => matches(wanted, type))
      )
    }
  )

  it.prop("to a type are listed whole, without one that does not match or comes twice", [name, subscription], ([
    type,
    other
  ]) => {
    const all = EventType.subscriptionsTo(type)
    assert.strictEqual(new Set(all).size, all.length)
    assert.strictEqual(all.length, type.split(".").length + 1)
    for (const one of all) assert.isTrue(isSubscription(one) && matches(one, type), one)
    assert.strictEqual(all.includes(other), matches(other, type))
  })

  it("below a prefix leave out the prefix itself and words that begin like it", () => {
    const wanted = [EventType.Subscription.make("deal.*")]
    const of = (type: string) => EventType.isSubscribed(wanted, EventType.EventTypeName.make(type))
    assert.deepStrictEqual(["deal.won", "deal.a.b"].map(of), [true, true])
    assert.deepStrictEqual(["deal", "dealer.won", "Deal.won", "x.deal.won"].map(of), [false, false, false, false])
  })
})

describe("the syntax", () => {
  it.prop("of a name is dotted words, and every name is a subscription", [name], ([type]) => {
    assert.isTrue(isName(type))
    assert.isTrue(isSubscription(type))
    assert.isTrue(isSubscription(`${type}.*`))
    assert.isFalse(isName(`${type}.*`))
  })

  it("refuses whatever is not dotted words", () => {
    const neither = [
      "",
      ".",
      "deal.",
      ".deal",
      "deal..won",
      "deal won",
      "deal.won\n",
      "negócio",
      "deal/won",
      "\0",
      "a:b"
    ]
    for (const text of neither) {
      assert.isFalse(isName(text), JSON.stringify(text))
      assert.isFalse(isSubscription(text), JSON.stringify(text))
    }
    for (const text of ["**", "*.won", "deal*", "deal.*.won", "deal.**", "*.*", ".*"]) {
      assert.isFalse(isSubscription(text), text)
    }
  })

  it("bounds the length, and leaves room for the prefix's star", () => {
    const longest = "a".repeat(128)
    assert.isTrue(isName(longest))
    assert.isFalse(isName(`${longest}a`))
    assert.isTrue(isSubscription(`${longest}.*`))
    assert.isFalse(isSubscription(`${longest}a.*`))
    const type = EventType.EventTypeName.make(Array.from({ length: 64 }, () => "a").join(".").padEnd(128, "a"))
    assert.lengthOf(EventType.subscriptionsTo(type), 65)
  })
})

describe("reserved types", () => {
  it.prop("are the words below webhook, and nothing else", [name], ([type]) => {
    assert.isFalse(EventType.isReserved(type))
    assert.isTrue(EventType.isReserved(EventType.EventTypeName.make(`webhook.${type}`)))
    assert.isFalse(EventType.isReserved(EventType.EventTypeName.make(`webhooks.${type}`)))
  })

  it("are the ones that the service sends itself", () => {
    for (const type of [EventType.pingType, EventType.testType, EventType.EventTypeName.make("webhook")]) {
      assert.isTrue(EventType.isReserved(type))
    }
  })
})
