import { assert, describe, it } from "@effect/vitest"
import { DateTime, FastCheck, Option, Schema } from "effect"
import { Moment, write } from "../../src/domain/Moment.ts"

const decode = Schema.decodeOption(Moment)
const read = (text: string) => Option.getOrNull(Option.map(decode(text), DateTime.formatIso))

describe("a moment", () => {
  it("is read with or without time, fraction and offset", () => {
    const spellings = {
      "2025-02-20": "2025-02-20T00:00:00.000Z",
      "2025-02-20T09:34": "2025-02-20T09:34:00.000Z",
      "2025-02-20T09:34:59": "2025-02-20T09:34:59.000Z",
      "2025-02-20T09:34:59.5Z": "2025-02-20T09:34:59.500Z",
      "2025-02-20T00:00:00-03:00": "2025-02-20T03:00:00.000Z",
      "2025-02-20T23:59:59+23:59": "2025-02-20T00:00:59.000Z",
      "2024-02-29": "2024-02-29T00:00:00.000Z",
      "2000-02-29": "2000-02-29T00:00:00.000Z"
    }
    for (const [text, moment] of Object.entries(spellings)) assert.strictEqual(read(text), moment, text)
  })

  it("is refused where the calendar or the clock has no such one, instead of another being meant", () => {
    const none = [
      "2025-02-30",
      "2025-02-29",
      "1900-02-29",
      "2025-04-31T00:00:00Z",
      "2025-01-00",
      "2025-01-32",
      "2025-00-10",
      "2025-13-10",
      "2025-02-20T24:00:00Z",
      "2025-02-20T23:60:00Z",
      "2025-02-20T23:59:60Z",
      "2025-02-20T09:34:00+24:00",
      "2025-02-20T09:34:00+00:60",
      "+012025-02-20",
      "2025-02-20 09:34:00Z",
      "2025-02-20T09:34:00Z "
    ]
    for (const text of none) assert.isNull(read(text), text)
  })

  it("has each day that JavaScript's calendar has, and no other", () => {
    const two = (n: number) => String(n).padStart(2, "0")
    const year = FastCheck.integer({ min: 1_000, max: 9_999 })
    const day = FastCheck.tuple(year, FastCheck.integer({ min: 0, max: 13 }), FastCheck.integer({ min: 0, max: 32 }))
    FastCheck.assert(FastCheck.property(day, ([year, month, day]) => {
      const text = `${year}-${two(month)}-${two(day)}`
      const date = DateTime.make({ year, month, day })
      const exists = Option.exists(date, (made) => DateTime.formatIsoDateUtc(made) === text)
      assert.strictEqual(read(text), exists ? `${text}T00:00:00.000Z` : null)
    }))
  })

  it.prop("is written as ISO 8601 has it, whichever was written before", [
    FastCheck.array(FastCheck.constantFrom(-1, 0, 1, 1_740_044_040_123, 1_740_044_040_124), { maxLength: 8 })
  ], ([all]) => {
    for (const millis of all) {
      const moment = DateTime.unsafeMake(millis)
      assert.strictEqual(write(moment), DateTime.formatIso(moment))
    }
  })
})
