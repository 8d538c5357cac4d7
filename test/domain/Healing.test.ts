import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { pauseMs, pauseMsMax } from "../../src/domain/Healing.ts"

const jitter = FastCheck.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const looks = FastCheck.oneof(FastCheck.nat(12), FastCheck.nat())

describe("Healing.pauseMs", () => {
  it("is a minute, doubling to an hour", () => {
    const minutes = [0, 1, 2, 3, 4, 5, 6, 7, 1_000].map((n) => pauseMs(n, 0.5) / 60_000)
    assert.deepStrictEqual(minutes, [1, 2, 4, 8, 16, 32, 60, 60, 60])
  })

  it.prop("is spread by a fifth to either side, and no further", { jitter, looks }, ({ jitter, looks }) => {
    const middle = pauseMs(looks, 0.5)
    const pause = pauseMs(looks, jitter)
    assert.isAtLeast(pause, Math.floor(middle * 0.8))
    assert.isAtMost(pause, Math.ceil(middle * 1.2))
    assert.isAtMost(middle, pauseMsMax)
  })

  it.prop("never gets shorter", { jitter, looks }, ({ jitter, looks }) => {
    assert.isAtLeast(pauseMs(looks + 1, jitter), pauseMs(looks, jitter))
  })
})
