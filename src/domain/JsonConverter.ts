/** Takes over the values of in-process publishers, who hand over JavaScript values instead of text. */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import {
  depthMax,
  float,
  integer,
  integerDigitsMax,
  isReadable,
  type Json,
  JsonError,
  type JsonErrorCode,
  JsonFloat,
  type JsonRecord
} from "./JsonModel.ts"

/**
 * The JSON value of a plain JavaScript value, the same that `parse` would read from its `JSON.stringify`. What that
 * would drop or flatten in silence (a function, NaN, a `Map`) is refused, except members that are undefined.
 */
export const fromUnknown = (value: unknown): Either.Either<Json, JsonError> => {
  const converter = new Converter()
  // A getter or a toJSON of theirs may throw.
  const attempt = Either.try({
    try: () => converter.convert(resolve(value, "")),
    catch: (cause) => converter.threw(cause)
  })
  return Either.flatMap(attempt, (json) => json === undefined ? Either.left(converter.error()) : Either.right(json))
}

class Converter {
  private code: JsonErrorCode = "json_unsupported"
  private message = ""
  private readonly path: Array<string | number> = []
  private readonly ancestors: Array<object> = []

  convert(value: unknown): Json | undefined {
    switch (typeof value) {
      case "string":
      case "boolean":
        return value
      case "number":
        return this.number(value)
      case "bigint":
        if (isReadable(value)) return integer(value)
        return this.fail("json_number_range", `expected at most ${integerDigitsMax} digits, found more`)
      case "object":
        if (value === null) return null
        if (value instanceof JsonFloat) return Number.isInteger(value.value) ? value : this.number(value.value)
        return this.nested(value)
      default:
        return this.refuse(value === undefined ? "undefined" : `a ${typeof value}`)
    }
  }

  private number(value: number): Json | undefined {
    if (!Number.isFinite(value)) return this.fail("json_number_range", `expected a finite number, found ${value}`)
    if (Number.isSafeInteger(value)) return value + 0
    // What JSON.stringify writes without an exponent is read as an integer.
    return Math.abs(value) < 1e21 && Number.isInteger(value) ? BigInt(String(value)) : float(value)
  }

  private nested(value: object): Json | undefined {
    if (this.ancestors.includes(value)) return this.fail("json_cycle", "expected a tree, found an object inside itself")
    if (this.ancestors.length === depthMax) {
      return this.fail("json_depth", `expected at most ${depthMax} nested arrays and objects, found more`)
    }
    this.ancestors.push(value)
    const json = Array.isArray(value) ? this.array(value) : this.object(value)
    this.ancestors.pop()
    return json
  }

  private array(value: ReadonlyArray<unknown>): ReadonlyArray<Json> | undefined {
    const items: Array<Json> = []
    for (let i = 0; i < value.length; i++) {
      this.path.push(i)
      // JSON.stringify keeps the place of an undefined item with null.
      const item = this.convert(resolve(value[i], String(i)) ?? null)
      if (item === undefined) return undefined
      this.path.pop()
      items.push(item)
    }
    return items
  }

  private object(value: object): JsonRecord | undefined {
    // A Map, a RegExp or a Uint8Array would become {} or a list of indices.
    const tag = Object.prototype.toString.call(value).slice(8, -1)
    if (tag !== "Object") return this.refuse(`${tag} (give it a toJSON method, or convert it first)`)
    const object: Record<string, Json> = Object.create(null)
    for (const [key, member] of Object.entries(value)) {
      this.path.push(key)
      const resolved = resolve(member, key)
      if (resolved !== undefined) {
        const json = this.convert(resolved)
        if (json === undefined) return undefined
        object[key] = json
      }
      this.path.pop()
    }
    return object
  }

  threw(cause: unknown): JsonError {
    this.refuse(`one that threw ${Predicate.isError(cause) ? cause.name : typeof cause}`)
    return this.error()
  }

  private refuse(found: string): undefined {
    return this.fail("json_unsupported", `expected a JSON value, found ${found}`)
  }

  private fail(code: JsonErrorCode, message: string): undefined {
    this.code = code
    this.message = message
  }

  error(): JsonError {
    const path = this.path.reduce<string>((text, step) => text + pathStep(step), "$")
    return new JsonError({ code: this.code, message: `${this.message}, at ${path}`, position: null, path })
  }
}

const pathStep = (step: string | number): string => {
  if (typeof step === "number") return `[${step}]`
  return /^[A-Za-z_$][\w$]*$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`
}

const resolve = (value: unknown, key: string): unknown => {
  if (typeof value !== "object" || value === null || value instanceof JsonFloat || !("toJSON" in value)) return value
  return typeof value.toJSON === "function" ? Reflect.apply(value.toJSON, value, [key]) : value
}
