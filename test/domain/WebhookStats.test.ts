import { assert, describe, it } from "@effect/vitest"
import { DateTime, Schema } from "effect"
import { buckets, bucketsAt, StatsWindow, summarize, Tally } from "../../src/domain/WebhookStats.ts"

const now = DateTime.unsafeMake("2025-02-20T09:34:56.789Z")
const iso = (window: StatsWindow) => bucketsAt(window, now).map(DateTime.formatIso)
const open = { pending: 2, failedRetryable: 1 }

const Attempts = Schema.Struct({
  at: Schema.Int.pipe(Schema.between(0, 23)),
  outcome: Tally.fields.outcome,
  attempts: Schema.Int.pipe(Schema.between(1, 1_000)),
  duration: Schema.Int.pipe(Schema.between(0, 30))
})

const tally = (change: Partial<Tally>): Tally => ({
  at: now,
  outcome: "success",
  attempts: 1,
  retries: 0,
  rescheduled: 0,
  latencies: [],
  ...change
})

describe("webhook stats", () => {
  it("buckets begin where hours and days of UTC do, and the last one is under way", () => {
    const ends = (window: StatsWindow) => [iso(window)[0], iso(window).at(-1)]
    assert.deepStrictEqual(ends("1h"), ["2025-02-20T08:35:00.000Z", "2025-02-20T09:30:00.000Z"])
    assert.deepStrictEqual(ends("24h"), ["2025-02-19T10:00:00.000Z", "2025-02-20T09:00:00.000Z"])
    assert.deepStrictEqual(ends("7d"), ["2025-02-13T12:00:00.000Z", "2025-02-20T06:00:00.000Z"])
    assert.deepStrictEqual(ends("30d"), ["2025-01-22T00:00:00.000Z", "2025-02-20T00:00:00.000Z"])
    for (const window of StatsWindow.literals) assert.lengthOf(iso(window), buckets[window].count)
  })

  it("of nothing everything is zero, there is no rate, and every bucket is there", () => {
    const stats = summarize("7d", now, [], { pending: 0, failedRetryable: 0 })
    assert.deepStrictEqual(stats.deliveries, {
      total: 0,
      delivered: 0,
      failedPermanent: 0,
      pending: 0,
      failedRetryable: 0
    })
    assert.isNull(stats.successRate)
    assert.deepStrictEqual(stats.latencyMs, { p50: null, p95: null, p99: null })
    assert.lengthOf(stats.series, 28)
    assert.isTrue(stats.series.every(({ attempts, latencyP95 }) => attempts === 0 && latencyP95 === null))
  })

  it("what was followed by another attempt is no end of a delivery", () => {
    const stats = summarize("1h", now, [
      tally({ attempts: 6, retries: 2 }),
      tally({ outcome: "http_5xx", attempts: 3, rescheduled: 2, retries: 1 }),
      tally({ outcome: "http_4xx", attempts: 1 })
    ], open)
    assert.deepStrictEqual(stats.deliveries, { total: 11, delivered: 6, failedPermanent: 2, ...open })
    assert.deepStrictEqual(stats.attempts, { total: 10, succeeded: 6, failed: 4 })
    assert.strictEqual(stats.successRate, 0.6)
    assert.deepStrictEqual(stats.retries, { made: 3, scheduled: 2 })
    assert.deepStrictEqual(stats.failures, [{ errorClass: "http_5xx", count: 3 }, { errorClass: "http_4xx", count: 1 }])
  })

  it.prop("the series and the failures add up to the totals", { rows: Schema.Array(Attempts) }, ({ rows }) => {
    const begins = bucketsAt("24h", now)
    const tallies = rows.map(({ at, attempts, duration, outcome }) =>
      tally({ at: begins[at] ?? now, outcome, attempts, latencies: [...Array(duration).fill(0), attempts] })
    )
    const { attempts, failures, latencyMs, series } = summarize("24h", now, tallies, open)
    const total = (counts: ReadonlyArray<number>) => counts.reduce((sum, count) => sum + count, 0)
    assert.deepStrictEqual(attempts, {
      total: total(series.map((bucket) => bucket.attempts)),
      succeeded: total(series.map((bucket) => bucket.succeeded)),
      failed: total(failures.map(({ count }) => count))
    })
    assert.strictEqual(attempts.total, total(rows.map((row) => row.attempts)))
    assert.strictEqual(latencyMs.p50 === null, rows.length === 0)
    assert.isTrue((latencyMs.p50 ?? 0) <= (latencyMs.p95 ?? 0) && (latencyMs.p95 ?? 0) <= (latencyMs.p99 ?? 0))
  })
})
