/** How a webhook has been doing over a span of time: what its attempts came to, and when. */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { ErrorClass } from "./DeliveryError.ts"
import * as Latency from "./Latency.ts"

export const StatsWindow = Schema.Literal("1h", "24h", "7d", "30d")
export type StatsWindow = typeof StatsWindow.Type

const minute = 60
const hour = 60 * minute
const day = 24 * hour

/** A window's series: how many buckets of how many seconds. Buckets begin where UTC's hours and days do. */
export const buckets: Readonly<Record<StatsWindow, { readonly count: number; readonly seconds: number }>> = {
  "1h": { count: 12, seconds: 5 * minute },
  "24h": { count: 24, seconds: hour },
  "7d": { count: 28, seconds: 6 * hour },
  "30d": { count: 30, seconds: day }
}

/** The beginnings of a window's buckets at this moment, oldest first; the last is under way. */
export const bucketsAt = (window: StatsWindow, now: DateTime.Utc): ReadonlyArray<DateTime.Utc> => {
  const { count, seconds } = buckets[window]
  const width = seconds * 1_000
  const last = Math.floor(now.epochMillis / width) * width
  return Array.from({ length: count }, (_, i) => DateTime.unsafeMake(last - (count - 1 - i) * width))
}

/** Attempts of one bucket that came to the same. */
export const Tally = Schema.Struct({
  /** Where the bucket begins. */
  at: Schema.DateTimeUtcFromSelf,
  outcome: Schema.Union(Schema.Literal("success"), ErrorClass),
  attempts: Schema.Number,
  /** Those that were not their delivery's first. */
  retries: Schema.Number,
  /** Those after which another was to follow. */
  rescheduled: Schema.Number,
  latencies: Schema.Array(Schema.Int)
})
export interface Tally extends Schema.Schema.Type<typeof Tally> {}

/** Deliveries that wait, or are being sent. */
export interface Open {
  /** Not tried yet. */
  readonly pending: number
  /** Failed, and to be tried again. */
  readonly failedRetryable: number
}

/** Milliseconds, estimated; null where there was no attempt whose time is known. */
interface Percentiles {
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
}

export interface WebhookStats {
  readonly window: StatsWindow
  readonly from: DateTime.Utc
  readonly to: DateTime.Utc
  readonly bucketSeconds: number
  readonly deliveries: Open & {
    readonly total: number
    readonly delivered: number
    readonly failedPermanent: number
  }
  readonly attempts: { readonly total: number; readonly succeeded: number; readonly failed: number }
  /** Of the attempts; null where there was none. */
  readonly successRate: number | null
  readonly latencyMs: Percentiles
  readonly failures: ReadonlyArray<{ readonly errorClass: ErrorClass; readonly count: number }>
  readonly retries: { readonly made: number; readonly scheduled: number }
  readonly series: ReadonlyArray<{
    readonly at: DateTime.Utc
    readonly attempts: number
    readonly succeeded: number
    readonly failed: number
    readonly latencyP95: number | null
  }>
}

export const summarize = (
  window: StatsWindow,
  now: DateTime.Utc,
  tallies: ReadonlyArray<Tally>,
  open: Open
): WebhookStats => {
  const begins = bucketsAt(window, now)
  const all = totalsOf(tallies)
  const delivered = all.succeeded
  const failedPermanent = all.failed - all.rescheduled
  return {
    window,
    from: begins[0] ?? now,
    to: now,
    bucketSeconds: buckets[window].seconds,
    deliveries: {
      total: delivered + failedPermanent + open.pending + open.failedRetryable,
      delivered,
      failedPermanent,
      ...open
    },
    attempts: { total: all.attempts, succeeded: all.succeeded, failed: all.failed },
    successRate: all.attempts === 0 ? null : all.succeeded / all.attempts,
    latencyMs: {
      p50: Latency.quantile(all.latencies, 0.5),
      p95: Latency.quantile(all.latencies, 0.95),
      p99: Latency.quantile(all.latencies, 0.99)
    },
    failures: failuresOf(tallies),
    retries: { made: all.retries, scheduled: all.rescheduled },
    series: seriesOf(begins, tallies)
  }
}

const totalsOf = (tallies: ReadonlyArray<Tally>) => {
  const succeeded = sum(tallies.filter(({ outcome }) => outcome === "success"), (tally) => tally.attempts)
  const attempts = sum(tallies, (tally) => tally.attempts)
  return {
    attempts,
    succeeded,
    failed: attempts - succeeded,
    retries: sum(tallies, (tally) => tally.retries),
    rescheduled: sum(tallies, (tally) => tally.rescheduled),
    latencies: tallies.map((tally) => tally.latencies).reduce<Latency.Counts>(Latency.add, [])
  }
}

const sum = (tallies: ReadonlyArray<Tally>, count: (tally: Tally) => number): number =>
  tallies.reduce((total, tally) => total + count(tally), 0)

/** The most frequent first. */
const failuresOf = (tallies: ReadonlyArray<Tally>): WebhookStats["failures"] => {
  const counts = new Map<ErrorClass, number>()
  for (const { attempts, outcome } of tallies) {
    if (outcome !== "success") counts.set(outcome, (counts.get(outcome) ?? 0) + attempts)
  }
  return Array.from(counts, ([errorClass, count]) => ({ errorClass, count })).toSorted((a, b) =>
    b.count - a.count || a.errorClass.localeCompare(b.errorClass)
  )
}

/** Every bucket, also those in which nothing happened. */
const seriesOf = (begins: ReadonlyArray<DateTime.Utc>, tallies: ReadonlyArray<Tally>): WebhookStats["series"] => {
  const byBucket = new Map<number, Array<Tally>>(begins.map(({ epochMillis }) => [epochMillis, []]))
  for (const tally of tallies) byBucket.get(tally.at.epochMillis)?.push(tally)
  return begins.map((at) => {
    const { attempts, failed, latencies, succeeded } = totalsOf(byBucket.get(at.epochMillis) ?? [])
    return { at, attempts, succeeded, failed, latencyP95: Latency.quantile(latencies, 0.95) }
  })
}
