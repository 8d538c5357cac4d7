/** A million deliveries are due at once: how long a claim takes, and what becomes of fresh events meanwhile. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ClaimTimes from "../ClaimTimes.ts"
import type { Entry } from "../Contenders.ts"
import * as DurablePostgres from "../DurablePostgres.ts"
import { microseconds } from "../Monotonic.ts"
import * as Planted from "../Planted.ts"
import * as Reception from "../Reception.ts"
import * as Sql from "../Sql.ts"
import * as Stage from "../Stage.ts"
import * as Steadiness from "../Steadiness.ts"
import type { Case, Sizes } from "../Trial.ts"

/** Webhooks with nothing waiting, to which fresh events go. */
const fresh = 50
const perSecond = 50

/** Measured apart: what comes then has to do with starting more than with the backlog. */
const firstSeconds = 3

const delivered = (sql: Sql.Sql) =>
  Effect.map(
    sql.row(
      Schema.Struct({ count: Schema.Int }),
      "SELECT count(*)::int AS count FROM deliveries WHERE status = 'delivered'"
    ),
    ({ count }) => count
  )

/** The webhooks of the backlog are registered first: their ids are the lowest. */
const trial = (entry: Entry, { isQuick, profiles, seconds }: Sizes) => ({
  name: entry.name,
  run: Effect.gen(function*() {
    const { claims, deliveries, webhooks } = isQuick
      ? { deliveries: 20_000, webhooks: 50, claims: 20 }
      : { deliveries: 1_000_000, webhooks: 1_000, claims: 500 }
    const scene: Stage.Scene = {
      ...Stage.plain({ profiles }),
      eventTypes: webhooks + fresh,
      database: yield* DurablePostgres.start(null),
      reception: yield* Reception.start({ answersAfterMs: 0, readsTimes: true })
    }
    yield* Effect.scoped(Stage.set(entry, scene))
    return yield* measure(entry, scene, { deliveries, webhooks, claims, seconds })
  })
})

interface Amounts {
  readonly deliveries: number
  readonly webhooks: number
  readonly claims: number
  readonly seconds: number
}

const measure = (entry: Entry, scene: Stage.Scene, { claims, deliveries, seconds, webhooks }: Amounts) =>
  Effect.gen(function*() {
    const database = scene.database ?? (yield* Effect.dieMessage("the webhooks are in the database"))
    const sql = yield* Sql.connect(database.url)
    yield* Planted.backlog(sql, deliveries, webhooks)
    const claimed = yield* ClaimTimes.measure(database, claims)
    const before = yield* delivered(sql)
    const stage = yield* Stage.set(entry, scene)
    const startedAt = microseconds()
    const eventTypes = stage.eventTypes.slice(webhooks)
    const load = { eventTypes, perSecond, patience: "15 seconds" } as const
    // Code is not compiled yet, connections are not open, plans not made: as with a node that has just been started.
    const first = yield* Steadiness.measure(stage, { ...load, seconds: firstSeconds })
    const steady = yield* Steadiness.measure(stage, { ...load, seconds })
    const drained = ((yield* delivered(sql)) - before) * 1e6 / (microseconds() - startedAt)
    return {
      ...steady,
      ...claimed,
      firstP99: first["p99"] ?? Number.NaN,
      firstLate: first["late"] ?? Number.NaN,
      drained
    }
  })

export const backlog: Case = {
  name: "backlog",
  about:
    "1,000,000 deliveries to 1,000 webhooks are due when the service starts, and 50 events a second are published for others",
  columns: [
    { key: "claimP99", title: "claim p99 ms", digits: 1 },
    { key: "claimP50", title: "claim p50 ms", digits: 1 },
    { key: "walkMax", title: "walk max ms", digits: 1 },
    { key: "p50", title: "fresh p50 ms", digits: 1 },
    { key: "p99", title: "fresh p99 ms", digits: 1 },
    { key: "firstP99", title: "p99 ms, first 3 s", digits: 1 },
    { key: "firstLate", title: "not received, first 3 s, %", digits: 1 },
    { key: "late", title: "not received, %", digits: 1 },
    { key: "refused", title: "not taken, %", digits: 1 },
    { key: "drained", title: "drained/s", digits: 0 },
    { key: "memoryPeakMiB", title: "node MiB", digits: 0 }
  ],
  lessIsBetter: true,
  contenders: ["in-process"],
  trials: (entries, sizes) => Effect.succeed(entries.map((entry) => trial(entry, sizes)))
}
