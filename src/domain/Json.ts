/**
 * A JSON value that loses nothing: `1000.00` stays a float, integers beyond 2^53 keep every digit, `__proto__` is an
 * ordinary key. `JSON.parse` rounds, and drops repeated keys in silence; what a publisher sends must reach the receiver
 * with the value it had.
 */
import type { LazyArbitrary } from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { depthMax, float, integer, isReadable, type Json, JsonFloat, type JsonRecord } from "./JsonModel.ts"

export { fromUnknown } from "./JsonConverter.ts"
export { depthMax, float, type Json, JsonError, type JsonErrorCode, JsonFloat } from "./JsonModel.ts"
export { parse } from "./JsonParser.ts"

/** The schema of any JSON value. It checks values that exist; `parse` and `fromUnknown` make them. */
export const JsonValue: Schema.Schema<Json> = Schema.declare((value): value is Json => isJson(value, depthMax), {
  identifier: "JsonValue",
  description: "any JSON value",
  // Of an empty schema Effect would say that it is missing.
  jsonSchema: { type: ["null", "boolean", "number", "string", "array", "object"] },
  arbitrary: () => (fc) => arbitraries(fc).json
})

export type JsonObject = JsonRecord
export const JsonObject: Schema.Schema<JsonObject> = Schema.declare(
  (value): value is JsonObject => isRecord(value) && isJson(value, depthMax),
  {
    identifier: "JsonObject",
    description: "a JSON object",
    jsonSchema: { type: "object" },
    arbitrary: () => (fc) => arbitraries(fc).object
  }
)

/** Whether a JSON value is an object. */
export const isObject = (json: Json): json is JsonObject =>
  typeof json === "object" && json !== null && !Array.isArray(json) && !(json instanceof JsonFloat)

const isRecord = (value: unknown): value is Record<string, unknown> => {
  if (typeof value !== "object" || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

const isJson = (value: unknown, depthLeft: number): value is Json => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true
    case "number":
      return Number.isFinite(value)
    case "bigint":
      return isReadable(value)
    case "object":
      if (value === null) return true
      if (value instanceof JsonFloat) return Number.isFinite(value.value)
      if (depthLeft === 0) return false
      if (Array.isArray(value)) return value.every((item) => isJson(item, depthLeft - 1))
      return isRecord(value) && Object.keys(value).every((key) => isJson(value[key], depthLeft - 1))
    default:
      return false
  }
}

const arbitraries = (fc: Parameters<LazyArbitrary<Json>>[0]) =>
  fc.letrec<{ json: Json; array: ReadonlyArray<Json>; object: JsonObject }>((tie) => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: "binary" }),
      // Any sequence of UTF-16 units, lone surrogates among them.
      fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units))
    )
    return {
      json: fc.oneof(
        { maxDepth: 5, withCrossShrink: true },
        fc.constantFrom(null, true, false),
        fc.maxSafeInteger().map((value) => value + 0),
        fc.bigInt().map(integer),
        fc.double({ noNaN: true, noDefaultInfinity: true }).map(float),
        text,
        tie("array"),
        tie("object")
      ),
      array: fc.array(tie("json"), { depthIdentifier: "json" }),
      object: fc.array(fc.tuple(fc.oneof(text, fc.constant("__proto__")), tie("json"))).map(recordOf)
    }
  })

const recordOf = (entries: ReadonlyArray<readonly [string, Json]>): JsonObject => {
  const object: Record<string, Json> = Object.create(null)
  for (const [key, value] of entries) object[key] = value
  return object
}
