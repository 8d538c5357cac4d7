import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Latency from "../../src/domain/Latency.ts"

const Millis = Schema.Int.pipe(Schema.between(0, 30_000))

/** As the database counts them. */
const countsOf = (durations: ReadonlyArray<number>): Latency.Counts => {
  const counts: Array<number> = []
  for (const duration of durations) {
    const index = Latency.bounds.filter((bound) => bound <= duration).length
    while (counts.length <= index) counts.push(0)
    counts[index] = (counts[index] ?? 0) + 1
  }
  return counts
}

describe("latency counts", () => {
  it("the classes rise, and none is wider than its beginning and a half", () => {
    Latency.bounds.forEach((bound, i) => {
      const next = Latency.bounds[i + 1]
      if (next === undefined) return
      assert.isAbove(next, bound)
      if (bound >= 4) assert.isAtMost(next / bound, 1.5)
    })
  })

  it.prop(
    "an estimate lies in the class of the duration that it stands for",
    { durations: Schema.NonEmptyArray(Millis), percent: Schema.Int.pipe(Schema.between(1, 100)) },
    ({ durations, percent }) => {
      const sorted = durations.toSorted((a, b) => a - b)
      const meant = sorted[Math.ceil(sorted.length * percent / 100) - 1] ?? 0
      const estimate = Latency.quantile(countsOf(durations), percent / 100)
      assert(estimate !== null)
      const classOf = (duration: number) => Latency.bounds.filter((bound) => bound <= duration).length
      assert.strictEqual(classOf(estimate), classOf(meant), `${estimate} for ${meant}`)
    }
  )

  it.prop(
    "counts of two lots are those of both together",
    { one: Schema.Array(Millis), other: Schema.Array(Millis) },
    ({ one, other }) => {
      assert.deepStrictEqual(Latency.add(countsOf(one), countsOf(other)), countsOf([...one, ...other]))
    }
  )

  it("of nothing there is no quantile, and past the last bound it is that bound", () => {
    assert.isNull(Latency.quantile([], 0.5))
    assert.isNull(Latency.quantile([0, 0], 0.5))
    assert.strictEqual(Latency.quantile(countsOf([60_000]), 0.5), 32_768)
    assert.strictEqual(Latency.quantile(countsOf([0]), 0.99), 0)
  })
})
