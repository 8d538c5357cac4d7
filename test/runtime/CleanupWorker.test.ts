import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it, vi } from "@effect/vitest"
import { Chunk, Context, Effect, Layer, Logger, LogLevel, Metric, Queue, Stream, TestClock } from "effect"
import { EventStore } from "../../src/persistence/EventStore.ts"
import { Partitions } from "../../src/persistence/Partitions.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import { Retention, type RetentionChange } from "../../src/persistence/Retention.ts"
import { StatsStore } from "../../src/persistence/StatsStore.ts"
import { WebhookStore } from "../../src/persistence/WebhookStore.ts"
import * as CleanupWorker from "../../src/runtime/CleanupWorker.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import * as PastDays from "../support/PastDays.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

vi.setConfig({ testTimeout: 120_000 })

const runOnce = (retentionDays: number) => Effect.flatten(CleanupWorker.makeRound({ retentionDays }))

const away = new PersistenceError({ operation: "anything", cause: "away" })

/** Stores that are asked and may fail, everything that they are asked, and everything that is logged. */
const watched = (change: { readonly isAway?: boolean; readonly changes?: ReadonlyArray<RetentionChange> }) =>
  Effect.gen(function*() {
    const asked = yield* Queue.unbounded<string>()
    const said = yield* Queue.unbounded<string>()
    const ask = <A>(what: string, answer: A) =>
      Effect.zipRight(Queue.offer(asked, what), change.isAway === true ? Effect.fail(away) : Effect.succeed(answer))
    const logger = Logger.make(({ logLevel, message }) =>
      Queue.unsafeOffer(said, `${logLevel.label} ${String(Array.isArray(message) ? message[0] : message)}`)
    )
    const layer = Layer.mergeAll(
      Layer.mock(Partitions, { ensure: ask("partitions", undefined) }),
      Layer.mock(EventStore, { expireIdempotencyKeys: ask("keys", 0) }),
      Layer.mock(WebhookStore, { expirePreviousSecrets: ask("secrets", undefined) }),
      Layer.mock(StatsStore, { sweep: ask("stats", 0) }),
      Layer.mock(Retention, {
        enforce: (days) =>
          Stream.unwrap(ask(`retention of ${days} days`, Stream.fromIterable<RetentionChange>(change.changes ?? [])))
      }),
      Logger.replace(Logger.defaultLogger, logger)
    )
    return { asked, said, layer }
  })

const all = (queue: Queue.Dequeue<string>) => Effect.map(Queue.takeAll(queue), Chunk.toReadonlyArray)

const everything = ["partitions", "keys", "secrets", "stats", "retention of 30 days"]

describe("CleanupWorker", () => {
  it.effect("does each part, though the others fail, and says which failed", () =>
    Effect.gen(function*() {
      const { asked, layer, said } = yield* watched({ isAway: true })
      yield* Effect.provide(runOnce(30), layer)
      assert.deepStrictEqual(yield* all(asked), everything)
      const failed = ["making partitions ahead", "forgetting idempotency keys", "forgetting previous secrets"]
        .concat("keeping the stats small", "dropping what is past the retention")
      assert.deepStrictEqual(
        yield* all(said),
        failed.map((what) => `WARN ${what} failed, the next round tries again`)
      )
    }))

  it.scoped("begins with a round when it is started, and goes on hourly, whatever fails", () =>
    Effect.gen(function*() {
      const { asked, layer } = yield* watched({ isAway: true })
      const worker = CleanupWorker.layer({ retentionDays: 30 }).pipe(
        Layer.provideMerge(Supervisor.layer),
        Layer.provide(layer)
      )
      const supervisor = yield* Effect.map(Layer.build(worker), (context) => Context.get(context, Supervisor))
      const round = Effect.map(Queue.takeN(asked, everything.length), Chunk.toReadonlyArray)
      assert.deepStrictEqual(yield* round, everything)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* round, everything)
      const [actor] = yield* supervisor.actors
      assert.deepInclude(actor, { name: "CleanupWorker", state: "running", restarts: 0 })
    }))

  it.effect("says and counts what was dropped, and warns of what is kept", () =>
    Effect.gen(function*() {
      const { layer, said } = yield* watched({
        changes: [
          { _tag: "Kept", day: "2025-02-19", waiting: 3 },
          { _tag: "Dropped", table: "events", day: "2025-02-18" },
          { _tag: "Restored", table: "deliveries", day: "2025-02-20" }
        ]
      })
      const count = Effect.map(
        Metric.value(Metric.tagged(Metrics.partitionsDropped, "table", "events")),
        (state) => state.count
      )
      const before = yield* count
      yield* Effect.provide(runOnce(30), layer)
      assert.strictEqual(yield* count, before + 1)
      assert.deepStrictEqual(yield* all(said), [
        "WARN a day past the retention is kept: deliveries still wait in it",
        "INFO a day past the retention is dropped",
        "WARN a day that was being dropped is needed, and there again"
      ])
    }))

  for (const [what, newest] of [["a week", -7], ["more days than were made ahead", 6]] as const) {
    it.scopedLive(`after an absence of ${what} one round makes the days to come and drops those that are past`, () =>
      Effect.gen(function*() {
        yield* PastDays.make(25, newest)
        yield* PastDays.storeDelivery(24, yield* PastDays.storeEvent(24), "delivered")
        yield* runOnce(7)
        const oldest = Math.max(7, newest)
        const deliveries = yield* PastDays.agesOf("deliveries")
        assert.strictEqual(deliveries[0], oldest)
        assert.includeMembers(deliveries, [1, 0, -14])
        const client = yield* Rows.makeClient("back")
        yield* Rows.makeWebhook(client, ["*"])
        yield* Rows.publish(client, "deal.won")
        const sql = yield* SqlClient.SqlClient
        assert.lengthOf(yield* sql`SELECT FROM deliveries`, 1)
      }).pipe(Effect.provide(Stores.layer), Logger.withMinimumLogLevel(LogLevel.Warning)))
  }
})
