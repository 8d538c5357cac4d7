/** What a thousand deliveries cost at saturation, and how that grows with what is registered, kept and sent. */
import * as Effect from "effect/Effect"
import type { Entry } from "../Contenders.ts"
import * as DurablePostgres from "../DurablePostgres.ts"
import * as Planted from "../Planted.ts"
import * as Sql from "../Sql.ts"
import * as Stage from "../Stage.ts"
import * as Throughput from "../Throughput.ts"
import type { Case, Sizes } from "../Trial.ts"

const registered = 10

interface Size {
  readonly name: string
  readonly webhooks: number
  readonly payloadKiB: number
  readonly database: DurablePostgres.DurablePostgres | null
}

const least: Size = { name: "10 webhooks, no history, 0.4 KiB", webhooks: registered, payloadKiB: 0.4, database: null }

const sized = (name: string, own: Partial<Size>): Size => ({ ...least, ...own, name })

/** The envelope around the payload counts, too. */
const payloadBytes = (kibibytes: number) => Math.floor(Math.min(kibibytes * 1_024, 256 * 1_024 - 512))

const asked = <A, E>({ url }: DurablePostgres.DurablePostgres, ask: (sql: Sql.Sql) => Effect.Effect<A, E>) =>
  Effect.scoped(Effect.flatMap(Sql.connect(url), ask))

const trial = (entry: Entry, size: Size, { isQuick, profiles, seconds }: Sizes) => ({
  name: entry.name === "in-process" ? size.name : `${entry.name}, ${size.name}`,
  run: Effect.gen(function*() {
    const { database } = size
    if (database !== null) yield* asked(database, Planted.retireWebhooks)
    const scene = { ...Stage.plain({ profiles }), eventTypes: registered, database }
    const stage = yield* Stage.set(entry, scene)
    if (size.webhooks > registered) yield* Planted.webhooks(stage.sql, size.webhooks - registered)
    return yield* Throughput.measure(stage, {
      inFlight: 128,
      payloadBytes: payloadBytes(size.payloadKiB),
      seconds,
      isQuick
    })
  })
})

/** A database with a past, which all rounds share. */
const withHistory = (deliveries: number) =>
  Effect.gen(function*() {
    const database = yield* DurablePostgres.start(null)
    yield* Planted.migrate(database)
    yield* asked(database, (sql) => Planted.history(sql, deliveries))
    return sized(`${deliveries.toLocaleString("en")} deliveries of history`, { database })
  })

export const cost: Case = {
  name: "cost",
  about: "CPU seconds per 1,000 deliveries at saturation, by webhooks registered, history kept and payload",
  columns: [
    { key: "cpu", title: "CPU s per 1,000", digits: 3 },
    { key: "senderCpu", title: "node", digits: 3 },
    { key: "postgresCpu", title: "Postgres", digits: 3 },
    { key: "perSecond", title: "deliveries/s", digits: 0 },
    { key: "memoryPeakMiB", title: "node MiB", digits: 0 }
  ],
  lessIsBetter: true,
  contenders: ["in-process"],
  trials: (entries, sizes) =>
    Effect.gen(function*() {
      const histories = yield* Effect.forEach(sizes.isQuick ? [20_000] : [1_000_000, 10_000_000], withHistory)
      const all: ReadonlyArray<Size> = [
        least,
        ...(sizes.isQuick ? [1_000] : [1_000, 10_000, 100_000]).map((webhooks) =>
          sized(`${webhooks.toLocaleString("en")} webhooks`, { webhooks })
        ),
        ...histories,
        ...(sizes.isQuick ? [256] : [4, 64, 256]).map((payloadKiB) => sized(`${payloadKiB} KiB`, { payloadKiB }))
      ]
      return entries.flatMap((entry) => all.map((size) => trial(entry, size, sizes)))
    })
}
