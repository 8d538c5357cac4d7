/**
 * The judge of every durability drill. Three books are compared: what the publishers were promised, what the receiver
 * got, and what the database says. Lost is what was promised and was neither delivered nor has failed for good nor
 * visibly waits.
 */
import { type Duration, Effect, Schedule, Schema } from "effect"
import { DeliveryId, toUuid } from "../../src/domain/Ids.ts"
import { type Finding, none } from "./Finding.ts"
import type { Load } from "./Load.ts"
import type { Book, Reception } from "./Reception.ts"
import * as Sql from "./Sql.ts"

/** Deliveries that were promised, by what became of them; all but `duplicates` add up. */
export interface Tally {
  readonly accepted: number
  readonly delivered: number
  readonly failed: number
  readonly waiting: number
  readonly lost: number
  /** Requests beyond those whose outcome was recorded. */
  readonly duplicates: number
}

export interface Verdict {
  readonly tally: Tally
  /** How often each delivery came too often, by its UUID. */
  readonly repeated: ReadonlyMap<string, number>
  /** Requests of which no attempt is on record, be it one of unknown outcome. */
  readonly unaccounted: number
  readonly book: Book
  readonly findings: ReadonlyArray<Finding>
}

const Row = Schema.Struct({
  id: Schema.String,
  status: Schema.Literal("pending", "delivered", "failed_retryable", "failed_permanent"),
  waits: Schema.Boolean,
  /** Attempts on record, */
  attempts: Schema.Int,
  /** those of them whose outcome is known, */
  known: Schema.Int,
  /** and those that were written under a lease that had ended. */
  stale: Schema.Int,
  isWhole: Schema.Boolean
})

// The two clocks are one, but the node's is read in whole milliseconds.
const clockSlack = "5 milliseconds"

/**
 * A node that slept through its lease has its attempt on record as `outcome_unknown`, written when the lease was taken
 * from it. An outcome that comes after that one in the history and began before it is the sleeper's, and was refused if
 * all is well.
 */
const history = `
  SELECT d.id::text, d.status, d.next_retry_at IS NOT NULL AS waits,
    coalesce(a.attempts, 0)::int AS attempts, coalesce(a.known, 0)::int AS known, coalesce(a.stale, 0)::int AS stale,
    coalesce(a.attempts, 0) = d.attempt_count AND coalesce(a.numbers, 0) = d.attempt_count
      AND coalesce(a.last, 0) = d.attempt_count AND coalesce(a.successes, 0) = (d.status = 'delivered')::int
      AND coalesce(a.success, d.attempt_count) = d.attempt_count AS "isWhole"
  FROM deliveries d LEFT JOIN (
    SELECT delivery_id, count(*) AS attempts, count(DISTINCT number) AS numbers, max(number) AS last,
      count(*) FILTER (WHERE result <> 'outcome_unknown') AS known,
      count(*) FILTER (WHERE result = 'success') AS successes,
      max(number) FILTER (WHERE result = 'success') AS success,
      count(*) FILTER (WHERE result <> 'outcome_unknown' AND started_at < taken_at - interval '${clockSlack}') AS stale
    FROM (
      SELECT *, max(started_at) FILTER (WHERE result = 'outcome_unknown') OVER (
        PARTITION BY delivery_id ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS taken_at
      FROM attempts
    ) attempt GROUP BY delivery_id
  ) a ON a.delivery_id = d.id`

const open = "SELECT count(*)::int AS value FROM deliveries WHERE next_retry_at IS NOT NULL"

/** Waits until nothing is left to do; answers whether that came about within the patience. */
export const settle = (url: string, load: Load, reception: Reception, patience: Duration.DurationInput) => {
  const arrived = Effect.map(reception.counts, ({ deliveries }) => deliveries >= load.promised.size)
  // What was promised and has not come needs no question to the database, which has enough to do.
  const settled = Effect.if(arrived, {
    onTrue: () => Effect.map(Sql.value(url, Schema.Int, open), (count) => count === 0),
    onFalse: () => Effect.succeed(false)
  }).pipe(Effect.orElseSucceed(() => false))
  return Effect.repeat(settled, { until: (is) => is, schedule: Schedule.spaced("100 millis") }).pipe(
    Effect.timeoutTo({ duration: patience, onSuccess: () => true, onTimeout: () => false })
  )
}

type Fate = "delivered" | "failed" | "waiting" | "lost"

/** A delivery that is said to be delivered and never came is lost as well. */
const fateOf = (row: typeof Row.Type | undefined, hasCome: boolean): Fate => {
  if (row === undefined) return "lost"
  if (row.status === "delivered") return hasCome ? "delivered" : "lost"
  if (row.status === "failed_permanent") return "failed"
  return row.waits ? "waiting" : "lost"
}

/** To be asked when nothing happens any more: `settle` first. */
export const judge = (url: string, load: Load, reception: Reception): Effect.Effect<Verdict> =>
  Effect.gen(function*() {
    const book = yield* reception.book
    const found = yield* Effect.orDie(Sql.rows(url, Row, history))
    const events = yield* Effect.orDie(Sql.value(url, Schema.Int, "SELECT count(*)::int AS value FROM events"))
    const rows = new Map(found.map((row) => [row.id, row]))
    const requests = new Map(book.deliveries.map(({ arrivals, id }) => [uuidOf(id), arrivals.length]))
    const promised = new Set(Array.from(load.promised, uuidOf))

    const fates: Record<Fate, number> = { delivered: 0, failed: 0, waiting: 0, lost: 0 }
    for (const id of promised) fates[fateOf(rows.get(id), requests.has(id))] += 1
    const repeated = new Map<string, number>()
    let unaccounted = 0
    for (const [id, times] of requests) {
      const { attempts, known } = rows.get(id) ?? { attempts: 0, known: 0 }
      if (times > Math.max(known, 1)) repeated.set(id, times - Math.max(known, 1))
      unaccounted += Math.max(0, times - attempts)
    }
    const duplicates = Array.from(repeated.values()).reduce((sum, times) => sum + times, 0)
    const tally: Tally = { accepted: promised.size, ...fates, duplicates }
    return {
      tally,
      repeated,
      unaccounted,
      book,
      findings: [
        ...fateFindings(tally),
        none("deliveries in the database that nobody was promised", found.filter(({ id }) => !promised.has(id)).length),
        none("events more, or fewer, than were promised", Math.abs(events - load.promisedEvents.size)),
        none("requests whose signatures are wrong", book.invalid.length),
        none("histories with a gap, a double, or more than one success", found.filter((row) => !row.isWhole).length),
        none("outcomes accepted under a lease that had ended", found.reduce((sum, { stale }) => sum + stale, 0))
      ]
    }
  })

const fateFindings = ({ accepted, delivered, failed, lost, waiting }: Tally): ReadonlyArray<Finding> => [
  { what: "deliveries accepted", found: String(accepted) },
  { what: "delivered", found: String(delivered), goal: "all of them", met: delivered === accepted },
  none("failed for good", failed),
  none("still waiting", waiting),
  none("lost", lost)
]

export const duplicates = ({ duplicates }: Tally): Finding => ({ what: "duplicates", found: String(duplicates) })

export const noDuplicates = ({ duplicates }: Tally): Finding => none("duplicates", duplicates)

/** For drills in which no lease is forgotten: whoever sent a request is on record. */
export const allAccounted = ({ unaccounted }: Verdict): Finding =>
  none("requests of which no attempt is on record", unaccounted)

export const uuidOf = (id: string): string => toUuid(DeliveryId.make(id))
