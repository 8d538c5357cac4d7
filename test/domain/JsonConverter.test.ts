import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, DateTime, Either, FastCheck, JSONSchema, Schema } from "effect"
import * as Json from "../../src/domain/Json.ts"
import { stringify } from "../../src/signing/CanonicalJson.ts"

const read = (text: string): Json.Json => Either.getOrThrowWith(Json.parse(text), (error) => error)

const take = (value: unknown): Json.Json => Either.getOrThrowWith(Json.fromUnknown(value), (error) => error)

const refusedValue = (value: unknown): Json.JsonError => {
  const result = Json.fromUnknown(value)
  return Either.isLeft(result) ? result.left : assert.fail("the value was taken")
}

const record = (entries: Record<string, Json.Json>): Json.JsonObject => Object.assign(Object.create(null), entries)

describe("fromUnknown", () => {
  it("takes plain values, and integers as integers", () => {
    const at = DateTime.toDate(DateTime.unsafeMake("2025-02-20T09:34:00Z"))
    assert.deepStrictEqual(
      take({ a: 1, b: 2.5, c: 10n, d: 2n ** 64n, e: undefined, f: [undefined, null], g: at, h: -0, i: Json.float(3) }),
      record({
        a: 1,
        b: 2.5,
        c: 10,
        d: 2n ** 64n,
        f: [null, null],
        g: "2025-02-20T09:34:00.000Z",
        h: 0,
        i: new Json.JsonFloat(3)
      })
    )
    assert.isNull(Object.getPrototypeOf(take({})))
  })

  it("keeps an own __proto__ key", () => {
    assert.strictEqual(stringify(take(JSON.parse(`{"__proto__": 1.5}`))), `{"__proto__": 1.5}`)
  })

  it("refuses what JSON.stringify would drop or flatten in silence, and says where", () => {
    const cases: ReadonlyArray<readonly [unknown, Json.JsonErrorCode, string]> = [
      [{ a: [1, Number.NaN] }, "json_number_range", "$.a[1]"],
      [{ a: { "b c": Infinity } }, "json_number_range", "$.a[\"b c\"]"],
      [{ f: () => 1 }, "json_unsupported", "$.f"],
      [[Symbol("s")], "json_unsupported", "$[0]"],
      [undefined, "json_unsupported", "$"],
      [{ m: new Map([[1, 2]]) }, "json_unsupported", "$.m"],
      [new Uint8Array(2), "json_unsupported", "$"],
      [{ n: 10n ** 4300n }, "json_number_range", "$.n"],
      [new Json.JsonFloat(Number.NaN), "json_number_range", "$"]
    ]
    for (const [value, code, path] of cases) {
      const error = refusedValue(value)
      assert.deepStrictEqual([error.code, error.path], [code, path])
      assert.include(error.message, `at ${path}`)
    }
  })

  it("refuses cycles, depth and values that throw", () => {
    const cycle: { self?: unknown } = {}
    cycle.self = [cycle]
    assert.deepStrictEqual([refusedValue(cycle).code, refusedValue(cycle).path], ["json_cycle", "$.self[0]"])
    const deep = Array.from({ length: Json.depthMax }).reduce<unknown>((inner) => [inner], 1)
    assert.deepStrictEqual(take(deep), deep)
    assert.strictEqual(refusedValue([deep]).code, "json_depth")
    const thrower = { a: { toJSON: () => assert.fail("secret detail") } }
    assert.strictEqual(refusedValue(thrower).code, "json_unsupported")
    assert.notInclude(refusedValue(thrower).message, "secret detail")
    const shared = { x: 1 }
    assert.deepStrictEqual(take([shared, shared]), [record({ x: 1 }), record({ x: 1 })])
  })

  it.prop(
    "takes what parse would read from JSON.stringify",
    [FastCheck.anything({ withDate: true, maxDepth: 4 })],
    ([value]) => {
      const result = Json.fromUnknown(value)
      if (Either.isRight(result)) assert.deepStrictEqual(result.right, read(JSON.stringify(value)))
    }
  )

  it.prop(
    "agrees with parse at every size of a number",
    [FastCheck.double({ noNaN: true, noDefaultInfinity: true })],
    ([value]) => {
      assert.deepStrictEqual(take(value), read(JSON.stringify(value)))
    }
  )

  it.prop("leaves a JSON value as it is", [Json.JsonValue], ([json]) => {
    assert.deepStrictEqual(take(json), json)
  })
})

describe("schemas", () => {
  const isValue = Schema.is(Json.JsonValue)
  const isObject = Schema.is(Json.JsonObject)

  it("tells JSON from other values", () => {
    for (const value of [null, true, 1, 2.5, 10n, "", [], {}, { a: [new Json.JsonFloat(1)] }]) {
      assert.isTrue(isValue(value))
    }
    const cycle: Array<unknown> = []
    cycle.push(cycle)
    const others = [
      undefined,
      Number.NaN,
      Infinity,
      Symbol("s"),
      () => 1,
      DateTime.toDate(DateTime.unsafeMake(0)),
      new Map(),
      { a: undefined },
      [Number.NaN],
      new Json.JsonFloat(Infinity),
      10n ** 4300n,
      cycle
    ]
    for (const value of others) assert.isFalse(isValue(value))
    assert.isTrue(isObject({ a: 1 }))
    for (const value of [[], null, "", 1, new Json.JsonFloat(1), { a: undefined }]) assert.isFalse(isObject(value))
  })

  it("describes itself to OpenAPI", () => {
    const { $defs } = JSONSchema.make(Schema.Struct({ data: Json.JsonObject, any: Json.JsonValue }))
    assert.deepStrictEqual(Object.keys($defs ?? {}), ["JsonObject", "JsonValue"])
    assert.deepInclude($defs?.["JsonObject"], { type: "object", description: "a JSON object" })
    assert.deepInclude($defs?.["JsonValue"], { description: "any JSON value" })
  })

  it.prop("makes objects for tests", [Arbitrary.make(Json.JsonObject)], ([object]) => {
    assert.isTrue(isObject(object))
    assert.isNull(Object.getPrototypeOf(object))
  })
})
