import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, FastCheck, Schema, TestClock } from "effect"
import { TypeID } from "typeid-js"
import * as Ids from "../../src/domain/Ids.ts"

const kinds = [
  { kind: "WebhookId", prefix: "whk", is: Schema.is(Ids.WebhookId) },
  { kind: "EventId", prefix: "evt", is: Schema.is(Ids.EventId) },
  { kind: "DeliveryId", prefix: "dlv", is: Schema.is(Ids.DeliveryId) },
  { kind: "AttemptId", prefix: "att", is: Schema.is(Ids.AttemptId) },
  { kind: "AlertId", prefix: "alr", is: Schema.is(Ids.AlertId) },
  { kind: "AuditId", prefix: "aud", is: Schema.is(Ids.AuditId) },
  { kind: "KeyId", prefix: "key", is: Schema.is(Ids.KeyId) }
] as const

const uuid = FastCheck.oneof(
  FastCheck.uuid(),
  FastCheck.constantFrom("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff")
)
const millis = FastCheck.integer({ min: 0, max: 2 ** 48 - 1 })

/** The implementation of the TypeID specification's authors. */
const isTypeId = (text: string, prefix: string): boolean => {
  try {
    return TypeID.fromString(text, prefix).toString() === text
  } catch {
    return false
  }
}

describe("a TypeID", () => {
  it.prop("goes to its UUID and back", [FastCheck.constantFrom(...kinds), uuid], ([{ is, kind }, given]) => {
    const id = Ids.fromUuid(kind, given)
    assert.isTrue(is(id))
    assert.strictEqual(Ids.toUuid(id), given)
    assert.strictEqual(Ids.fromUuid(kind, Ids.toUuid(id)), id)
  })

  it.prop(
    "is what the authors of the specification make of the same UUID",
    [FastCheck.constantFrom(...kinds), uuid],
    ([{ kind, prefix }, given]) => {
      const id = Ids.fromUuid(kind, given)
      assert.strictEqual(id, TypeID.fromUUID(prefix, given).toString() as never)
      assert.strictEqual(Ids.toUuid(id), TypeID.fromString(id).toUUID())
    }
  )

  it.prop("reads a UUID in capitals as the same UUID", [uuid], ([given]) => {
    assert.strictEqual(Ids.fromUuid("EventId", given.toUpperCase()), Ids.fromUuid("EventId", given))
  })

  it.prop("sorts as its UUID does", [uuid, uuid], ([a, b]) => {
    assert.strictEqual(Ids.fromUuid("EventId", a) < Ids.fromUuid("EventId", b), a < b)
  })

  for (const { is, kind, prefix } of kinds) {
    it(`of kind ${kind} is refused without ${prefix}_ in front`, () => {
      for (const other of kinds) {
        const id = Ids.fromUuid(other.kind, "0194fdc2-fa2f-7cc0-81d3-ff12045b73c8")
        assert.strictEqual(is(id), other.kind === kind)
        assert.isFalse(is(id.slice(other.prefix.length + 1)))
        assert.isFalse(is(id.toUpperCase()))
      }
    })
  }

  const suffix = FastCheck.string({
    unit: FastCheck.constantFrom(..."0123456789abcdefghijklmnopqrstuvwxyzAZ_-"),
    minLength: 25,
    maxLength: 27
  })

  it.prop(
    "is accepted exactly when the authors of the specification accept it",
    [FastCheck.oneof(suffix, suffix.map((text) => `0${text.slice(1).replaceAll(/[^0-9a-hjkmnp-tv-z]/g, "0")}`))],
    ([text]) => {
      assert.strictEqual(Schema.is(Ids.WebhookId)(`whk_${text}`), isTypeId(`whk_${text}`, "whk"))
    }
  )

  it("is refused with anything in front of it or behind it", () => {
    const id = Ids.fromUuid("WebhookId", "0194fdc2-fa2f-7cc0-81d3-ff12045b73c8")
    for (const text of [` ${id}`, `${id} `, `${id}\n`, `${id}\n${id}`, `\n${id}`, `x${id}`, "", "whk_"]) {
      assert.isFalse(Schema.is(Ids.WebhookId)(text), JSON.stringify(text))
    }
    assert.isFalse(Schema.is(Ids.WebhookId)(id.replace("_0", "_8")), "26 characters hold 130 bits, a UUID 128")
  })

  it.prop("is made for tests as well", [Arbitrary.make(Ids.WebhookId)], ([id]) => {
    assert.isTrue(isTypeId(id, "whk"))
  })
})

describe("a new id", () => {
  it.prop("holds a UUIDv7 of the millisecond", [millis], ([at]) => {
    const made = Ids.toUuid(Ids.makeAt("EventId", at))
    assert.match(made, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.strictEqual(Number.parseInt(made.replace("-", "").slice(0, 12), 16), at)
  })

  it.effect.prop(
    "sorts after every id of an earlier millisecond",
    [FastCheck.uniqueArray(millis, { minLength: 2, maxLength: 20 })],
    ([moments]) =>
      Effect.gen(function*() {
        const made: Array<Ids.EventId> = []
        for (const at of moments.toSorted((a, b) => a - b)) {
          yield* TestClock.setTime(at)
          made.push(yield* Ids.make("EventId"))
        }
        assert.deepStrictEqual(made.toSorted(), made)
      })
  )

  it.prop("says when it was made", [FastCheck.constantFrom(...kinds), millis], ([{ is, kind }, at]) => {
    const made = Ids.makeAt(kind, at)
    assert.isTrue(is(made))
    assert.strictEqual(Ids.madeAt(made), at)
  })

  it("is random in every bit but those of time, version and variant", () => {
    const made = Array.from(
      { length: 1_000 },
      () => BigInt(`0x${Ids.toUuid(Ids.makeAt("EventId", 0)).replaceAll("-", "")}`)
    )
    const bits = (which: (a: bigint, b: bigint) => bigint) => made.reduce(which).toString(16).padStart(32, "0")
    assert.strictEqual(bits((a, b) => a | b), "0000000000007fffbfffffffffffffff")
    assert.strictEqual(bits((a, b) => a & b), "00000000000070008000000000000000")
  })

  it.effect("is like no other of its millisecond", () =>
    Effect.gen(function*() {
      const made = yield* Effect.replicateEffect(Ids.make("DeliveryId"), 1_000)
      assert.strictEqual(new Set(made).size, 1_000)
    }))
})

describe("a client's id", () => {
  const is = Schema.is(Ids.ClientId)

  it("is 1 to 64 letters, digits, dots, colons, dashes and underscores, and begins with a letter or digit", () => {
    for (const text of ["default", "7", "Acme.EU:prod_1-a", "a".repeat(64)]) assert.isTrue(is(text), text)
    for (const text of ["", " a", "a ", "a\n", ".a", "-a", "_a", ":a", "a/b", "a b", "é", "a\0", "a".repeat(65)]) {
      assert.isFalse(is(text), JSON.stringify(text))
    }
  })
})
