import { assert, describe, it } from "@effect/vitest"
import { FastCheck, Schema } from "effect"
import * as Circuit from "../../src/domain/Circuit.ts"

const jitter = FastCheck.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const openings = FastCheck.nat(60)

const ramping = FastCheck.record({
  openings,
  ramp: FastCheck.constantFrom(1, 2, 4, 8, 16, 32, 64),
  rampSuccesses: FastCheck.nat(63)
}).map(({ openings, ramp, rampSuccesses }): Circuit.Circuit => ({
  state: "closed",
  openings,
  ramp,
  rampSuccesses: rampSuccesses % ramp
}))
const closed = FastCheck.oneof(ramping, FastCheck.constant(Circuit.closed))
const away = (state: "open" | "half_open") =>
  openings.map((n): Circuit.Circuit => ({ state, openings: n + 1, ramp: null, rampSuccesses: 0 }))
const circuit = FastCheck.oneof(closed, away("open"), away("half_open"))

/** As the store counts: what this batch saw is in the row of failures, and in the minute. */
const observed = FastCheck.record({
  successes: FastCheck.nat(30),
  failures: FastCheck.nat(30),
  earlierAttempts: FastCheck.nat(60),
  earlierFailures: FastCheck.nat(60),
  before: FastCheck.nat(10),
  probeSucceeded: FastCheck.constantFrom(true, false, null)
}).map(({ before, earlierAttempts, earlierFailures, failures, probeSucceeded, successes }): Circuit.Observed => ({
  successes,
  failures,
  consecutiveFailures: successes > 0 ? Math.min(failures, before) : before + failures,
  windowAttempts: earlierAttempts + successes + failures,
  windowFailures: Math.min(earlierFailures, earlierAttempts) + failures,
  probeSucceeded: probeSucceeded === true && successes > 0 || probeSucceeded === false && failures > 0
    ? probeSucceeded
    : null
}))

const saw = (change: Partial<Circuit.Observed>): Circuit.Observed => ({
  successes: 0,
  failures: 0,
  consecutiveFailures: 0,
  windowAttempts: 0,
  windowFailures: 0,
  probeSucceeded: null,
  ...change
})

const failed = saw({ failures: 1, consecutiveFailures: 1, windowAttempts: 1, windowFailures: 1 })
const succeeded = (successes: number) => saw({ successes, windowAttempts: successes })

const after = (circuit: Circuit.Circuit, observed: Circuit.Observed, jitter = 0.5): Circuit.Circuit =>
  Circuit.observe(circuit, observed, jitter)?.circuit ?? circuit

const opens = (observed: Circuit.Observed) => Circuit.observe(Circuit.closed, observed, 0.5)?.circuit.state === "open"

describe("a closed circuit", () => {
  it("opens at the fifth failure in a row, and not at the fourth", () => {
    assert.isFalse(opens(saw({ failures: 4, consecutiveFailures: 4, windowAttempts: 4, windowFailures: 4 })))
    assert.isTrue(opens(saw({ failures: 1, consecutiveFailures: 5, windowAttempts: 5, windowFailures: 5 })))
  })

  it("opens at half of twenty in a minute, and at nothing below", () => {
    const minute = (windowAttempts: number, windowFailures: number) =>
      opens(saw({ failures: 1, consecutiveFailures: 1, windowAttempts, windowFailures }))
    assert.isTrue(minute(20, 10))
    assert.isFalse(minute(20, 9))
    assert.isFalse(minute(19, 19))
    assert.isTrue(minute(41, 21))
    assert.isFalse(minute(41, 20))
  })

  it.prop("opens exactly at the thresholds", [closed, observed, jitter], ([before, seen, j]) => {
    const failing = seen.consecutiveFailures >= 5 ||
      (seen.windowAttempts >= 20 && 2 * seen.windowFailures >= seen.windowAttempts)
    const change = Circuit.observe(before, seen, j)
    assert.strictEqual(change?.circuit.state === "open", seen.failures > 0 && failing)
  })

  it.prop("without a ramp changes only by opening", [observed, jitter], ([seen, j]) => {
    const change = Circuit.observe(Circuit.closed, seen, j)
    if (change !== null) assert.strictEqual(change.circuit.state, "open")
  })
})

describe("a circuit", () => {
  it.prop("in any state never opens without a failure", [circuit, observed, jitter], ([before, seen, j]) => {
    const probeSucceeded = seen.probeSucceeded === false ? null : seen.probeSucceeded
    const change = Circuit.observe(before, { ...seen, failures: 0, probeSucceeded }, j)
    assert.notStrictEqual(change?.circuit.state, "open")
  })

  it.prop("that is open ignores what is seen", [away("open"), observed, jitter], ([before, seen, j]) => {
    assert.isNull(Circuit.observe(before, seen, j))
  })

  it.prop("pauses when it opens, and at no other change", [circuit, observed, jitter], ([before, seen, j]) => {
    const change = Circuit.observe(before, seen, j)
    if (change !== null) assert.strictEqual(change.pauseMs !== null, change.circuit.state === "open")
  })

  it("doubles its pause from 30 s to 15 min", () => {
    const pauses: Array<number | null | undefined> = []
    let now = Circuit.closing(0)
    for (let i = 0; i < 8; i++) {
      const change = Circuit.observe({ ...now, state: "half_open" }, { ...failed, probeSucceeded: false }, 0.5)
      pauses.push(change?.pauseMs)
      now = change?.circuit ?? now
      assert.deepStrictEqual(now, { state: "open", openings: i + 1, ramp: null, rampSuccesses: 0 })
    }
    assert.deepStrictEqual(pauses, [30_000, 60_000, 120_000, 240_000, 480_000, 900_000, 900_000, 900_000])
  })

  it.prop("spreads its pause by a fifth to either side", [openings, jitter], ([n, j]) => {
    const pause = (jitter: number) => Circuit.observe(Circuit.closing(n), { ...failed, consecutiveFailures: 5 }, jitter)
    const middle = pause(0.5)?.pauseMs ?? Number.NaN
    assert.strictEqual(pause(0)?.pauseMs, middle * 0.8)
    assert.strictEqual(pause(j)?.pauseMs, Math.round(middle * (0.8 + 0.4 * j)))
    assert.isAtMost(pause(j)?.pauseMs ?? Number.NaN, middle * 1.2)
  })
})

describe("a half-open circuit", () => {
  it.prop("opens again when its probe failed, whatever else succeeded", [away("half_open"), observed, jitter], ([
    before,
    seen,
    j
  ]) => {
    const change = Circuit.observe(before, { ...seen, probeSucceeded: false }, j)
    assert.deepStrictEqual(change?.circuit, { ...before, state: "open", openings: before.openings + 1 })
  })

  it.prop("closes when its probe succeeded, whatever else failed, one at a time, and remembers its openings", [
    away("half_open"),
    observed,
    jitter
  ], ([before, seen, j]) => {
    const circuit = { state: "closed" as const, openings: before.openings, ramp: 1, rampSuccesses: 0 }
    assert.deepStrictEqual(Circuit.observe(before, { ...seen, probeSucceeded: true }, j), { circuit, pauseMs: null })
  })

  it.prop("waits on while its probe has told nothing of the endpoint, whatever others did", [
    away("half_open"),
    observed,
    jitter
  ], ([before, seen, j]) => {
    assert.isNull(Circuit.observe(before, { ...seen, probeSucceeded: null }, j))
  })
})

describe("a ramp", () => {
  it("doubles with as many successes as it allows, and past 64 all is forgotten", () => {
    const ramps: Array<number | null> = []
    let now = Circuit.closing(3)
    while (now.ramp !== null && ramps.length < 10) {
      const { ramp } = now
      ramps.push(ramp)
      for (let i = 1; i < ramp; i++) {
        const before = now
        now = after(now, succeeded(1))
        assert.deepStrictEqual(now, { ...before, rampSuccesses: i })
      }
      now = after(now, succeeded(1))
    }
    assert.deepStrictEqual(ramps, [1, 2, 4, 8, 16, 32, 64])
    assert.deepStrictEqual(now, { state: "closed", openings: 0, ramp: null, rampSuccesses: 0 })
  })

  it.prop("is not passed over by many successes at once", [ramping, FastCheck.integer({ min: 1, max: 500 })], ([
    before,
    successes
  ]) => {
    const { ramp } = after(before, succeeded(successes))
    assert.isTrue(ramp === null ? before.ramp === 64 : ramp === before.ramp || ramp === 2 * (before.ramp ?? 0))
  })

  it.prop("is halved by a failure, whatever else succeeded, and never below one", [
    ramping,
    FastCheck.nat(40),
    FastCheck.integer({ min: 1, max: 4 })
  ], ([before, successes, failures]) => {
    const seen = saw({
      successes,
      failures,
      consecutiveFailures: failures,
      windowAttempts: 19,
      windowFailures: failures
    })
    const ramp = before.ramp === 1 ? 1 : (before.ramp ?? 0) / 2
    assert.deepStrictEqual(Circuit.observe(before, seen, 0.5), {
      circuit: { ...before, ramp, rampSuccesses: 0 },
      pauseMs: null
    })
  })

  it("of an odd width is halved downwards", () => {
    assert.strictEqual(after({ ...Circuit.closing(1), ramp: 7 }, failed).ramp, 3)
  })

  it.prop("stays where nothing was seen", [ramping, jitter], ([before, j]) => {
    assert.isNull(Circuit.observe(before, saw({}), j))
  })
})

it("a circuit is all of its parts", () => {
  assert.isTrue(Schema.is(Circuit.Circuit)(Circuit.closed))
  for (const part of Object.keys(Circuit.closed)) {
    assert.isFalse(Schema.is(Circuit.Circuit)({ ...Circuit.closed, [part]: undefined }), part)
  }
})

describe("any sequence", () => {
  /** What happens to a circuit: attempts are seen, or the pause of an open one is over and its probe is under way. */
  const step = FastCheck.oneof(
    { weight: 3, arbitrary: observed },
    { weight: 1, arbitrary: FastCheck.constant("pause over" as const) }
  )

  const next = (circuit: Circuit.Circuit, seen: Circuit.Observed | "pause over", j: number): Circuit.Circuit => {
    if (seen !== "pause over") return after(circuit, seen, j)
    return circuit.state === "open" ? { ...circuit, state: "half_open" } : circuit
  }

  it.prop("keeps a circuit whole: no ramp but while it closes, and its openings counted", [
    FastCheck.array(FastCheck.tuple(step, jitter), { maxLength: 60 })
  ], ([steps]) => {
    let now = Circuit.closed
    for (const [seen, j] of steps) {
      const before = now
      now = next(now, seen, j)
      assert.isTrue(Schema.is(Circuit.Circuit)(now), JSON.stringify(now))
      if (now.state !== "closed") assert.deepInclude(now, { ramp: null, rampSuccesses: 0 })
      if (now.ramp === null) assert.strictEqual(now.openings === 0, now.state === "closed")
      else {assert.isTrue(
          [1, 2, 4, 8, 16, 32, 64].includes(now.ramp) && now.rampSuccesses < now.ramp,
          JSON.stringify(now)
        )}
      const opened = now.state === "open" && before.state !== "open"
      const forgotten = now.state === "closed" && now.ramp === null
      assert.strictEqual(now.openings, forgotten ? 0 : before.openings + (opened ? 1 : 0))
    }
  })
})
