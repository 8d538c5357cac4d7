/** What JSON is made of here, below the reading and checking of it: `Json.ts` is the module to import. */
import * as Data from "effect/Data"

/**
 * An integer is a `number` while that is exact, then a `bigint`. A float is a `number` while it has a fraction, then a
 * `JsonFloat`. Objects made here have no prototype; plain objects are accepted.
 */
export type Json = null | boolean | number | bigint | string | JsonFloat | ReadonlyArray<Json> | JsonRecord

export interface JsonRecord {
  readonly [key: string]: Json
}

/** A float whose value is whole (`1000.0`, `1e21`, `-0.0`): as a plain number it would pass for an integer. */
export class JsonFloat {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
  toJSON(): number {
    return this.value
  }
}

/** The float of a finite number, whole or not. */
export const float = (value: number): number | JsonFloat => Number.isInteger(value) ? new JsonFloat(value) : value

/** The integer of a bigint, however small. */
export const integer = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value

export type JsonErrorCode =
  | "json_syntax"
  | "json_depth"
  | "json_duplicate_key"
  | "json_number_range"
  | "json_cycle"
  | "json_unsupported"

export class JsonError extends Data.TaggedError("JsonError")<{
  readonly code: JsonErrorCode
  /** What was expected, what was found, and where. */
  readonly message: string
  /** The place in the text: UTF-16 units, the offset from 0, line and column from 1. Null where there was no text. */
  readonly position: { readonly offset: number; readonly line: number; readonly column: number } | null
  /** The place in the value, as `$.items[2].price`. Null where a text was at fault. */
  readonly path: string | null
}> {}

/** How deep arrays and objects may nest: more than events need, less than any receiver's stack. */
export const depthMax = 100

/** Python, and so a receiver that verifies over its own re-serialisation, reads no longer integers. */
export const integerDigitsMax = 4300
const integerLimit = 10n ** BigInt(integerDigitsMax)

/** The integer has at most `integerDigitsMax` digits. */
export const isReadable = (value: bigint): boolean => value < integerLimit && value > -integerLimit
