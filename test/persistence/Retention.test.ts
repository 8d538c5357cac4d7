import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it, vi } from "@effect/vitest"
import { Chunk, Deferred, Effect, Fiber, Option, Ref, Stream } from "effect"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import { Retention, type RetentionChange } from "../../src/persistence/Retention.ts"
import { eventually } from "../support/Eventually.ts"
import * as PastDays from "../support/PastDays.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

vi.setConfig({ testTimeout: 120_000 })

const enforce = (days: number) =>
  Effect.flatMap(
    Retention,
    (retention) => Effect.map(Stream.runCollect(retention.enforce(days)), Chunk.toReadonlyArray)
  )

const dropped = (changes: ReadonlyArray<RetentionChange>) =>
  changes.flatMap((change) => change._tag === "Dropped" ? [`${change.table} ${change.day}`] : [])

const droppedNow = (table: "attempts" | "deliveries" | "events", ages: ReadonlyArray<number>) =>
  Effect.forEach(ages, (age) => Effect.map(PastDays.dayOf(age), (day) => `${table} ${day}`))

const range = (from: number, to: number) => Array.from({ length: from - to + 1 }, (_, i) => from - i)

const ages = Effect.all({
  deliveries: PastDays.agesOf("deliveries"),
  attempts: PastDays.agesOf("attempts"),
  events: PastDays.agesOf("events")
})

/** A finished delivery of so many days ago, with its event and an attempt. */
const finished = (age: number) =>
  Effect.gen(function*() {
    const event = yield* PastDays.storeEvent(age)
    const delivery = yield* PastDays.storeDelivery(age, event, "delivered")
    yield* PastDays.storeAttempt(age, delivery)
    return delivery
  })

/** Holds a transaction that did this open; answers what ends it. */
const openTransaction = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const begun = yield* Deferred.make<void>()
    const end = yield* Deferred.make<void>()
    const fiber = yield* work.pipe(
      Effect.zipRight(Deferred.succeed(begun, undefined)),
      Effect.zipRight(Deferred.await(end)),
      sql.withTransaction,
      Effect.fork
    )
    yield* Deferred.await(begun)
    return { commit: Effect.zipRight(Deferred.succeed(end, undefined), Fiber.join(fiber)) }
  })

/** That the detaching waits for a transaction. */
const detachWaits = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  eventually(
    sql`
      SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'deeper-hub-webhooks/retention' AND wait_event_type = 'Lock'`,
    (rows) => rows.length === 1
  ))

describe("Retention", () => {
  it.scopedLive("drops whole days past the retention, and nothing of the days within it", () =>
    Effect.gen(function*() {
      yield* PastDays.make(40, -2)
      yield* Effect.forEach([40, 31, 30, 29, 0], finished)
      const changes = yield* enforce(30)
      assert.deepStrictEqual(dropped(changes), [
        ...yield* droppedNow("deliveries", range(40, 31)),
        ...yield* droppedNow("attempts", range(40, 31)),
        // The last events of a day have their deliveries in the next.
        ...yield* droppedNow("events", range(40, 32))
      ])
      assert.deepStrictEqual(yield* ages, { deliveries: range(30, -2), attempts: range(30, -2), events: range(31, -2) })
      const sql = yield* SqlClient.SqlClient
      assert.lengthOf(yield* sql`SELECT FROM deliveries`, 3)
      assert.deepStrictEqual(yield* enforce(30), [])
    }).pipe(Effect.provide(Stores.layer)))

  it.scopedLive("keeps a day in which something waits, with the events and attempts of its deliveries", () =>
    Effect.gen(function*() {
      yield* PastDays.make(20, 0)
      // Its event was published before midnight, and an attempt failed days later.
      const retried = yield* PastDays.storeDelivery(15, yield* PastDays.storeEvent(16), "failed_retryable")
      yield* PastDays.storeAttempt(15, retried)
      yield* PastDays.storeAttempt(13, retried)
      yield* PastDays.storeDelivery(15, yield* PastDays.storeEvent(15), "pending")
      yield* PastDays.storeDelivery(10, yield* PastDays.storeEvent(10), "leased")
      yield* PastDays.storeDelivery(8, yield* PastDays.storeEvent(8), "failed_permanent")
      const changes = yield* enforce(7)
      assert.deepStrictEqual(changes.filter(({ _tag }) => _tag !== "Dropped"), [
        { _tag: "Kept", day: yield* PastDays.dayOf(15), waiting: 2 },
        { _tag: "Kept", day: yield* PastDays.dayOf(10), waiting: 1 }
      ])
      assert.deepStrictEqual(yield* ages, {
        deliveries: [15, 10, ...range(7, 0)],
        attempts: [15, 13, 10, ...range(7, 0)],
        events: [16, 15, 11, 10, ...range(8, 0)]
      })
    }).pipe(Effect.provide(Stores.layer)))

  it.scopedLive("keeps the events of a day that a younger delivery names", () =>
    Effect.gen(function*() {
      yield* PastDays.make(12, 0)
      yield* PastDays.storeDelivery(1, yield* PastDays.storeEvent(12), "delivered")
      yield* enforce(7)
      assert.deepStrictEqual(yield* PastDays.agesOf("events"), [12, ...range(8, 0)])
      assert.deepStrictEqual(yield* PastDays.agesOf("deliveries"), range(7, 0))
    }).pipe(Effect.provide(Stores.layer)))

  it.scopedLive("ends in the next round what a long transaction kept it from ending", () =>
    Effect.gen(function*() {
      yield* PastDays.make(9, 0)
      yield* finished(9)
      const sql = yield* SqlClient.SqlClient
      const { commit } = yield* openTransaction(sql`SELECT FROM deliveries`)
      const failed = yield* Effect.flip(enforce(7))
      assert.instanceOf(failed, PersistenceError)
      assert.match(failed.message, /lock timeout/)
      const pending = yield* sql`SELECT FROM pg_inherits WHERE inhdetachpending`
      assert.lengthOf(pending, 1)
      // Everybody else goes on, and days ahead are made.
      yield* finished(0)
      yield* PastDays.make(0, -2)
      yield* commit
      assert.deepStrictEqual(dropped(yield* enforce(7)).slice(0, 2), yield* droppedNow("deliveries", [9, 8]))
      assert.deepStrictEqual(yield* PastDays.agesOf("deliveries"), range(7, -2))
      assert.lengthOf(yield* sql`SELECT FROM deliveries`, 1)
    }).pipe(Effect.provide(Stores.layer)))

  it.scopedLive("attaches what was detached again when the retention was raised meanwhile", () =>
    Effect.gen(function*() {
      yield* PastDays.make(9, 0)
      const delivery = yield* finished(9)
      const sql = yield* SqlClient.SqlClient
      const { commit } = yield* openTransaction(sql`SELECT FROM deliveries`)
      yield* Effect.flip(enforce(7))
      yield* commit
      assert.deepStrictEqual(yield* enforce(30), [
        { _tag: "Restored", table: "deliveries", day: yield* PastDays.dayOf(9) }
      ])
      assert.lengthOf(yield* sql`SELECT FROM deliveries WHERE id = ${delivery}`, 1)
      assert.deepStrictEqual(yield* ages, { deliveries: range(9, 0), attempts: range(9, 0), events: range(9, 0) })
      assert.deepStrictEqual(yield* enforce(30), [])
    }).pipe(Effect.provide(Stores.layer)))

  it.scopedLive("fails, and does not die, of a table that somebody changed meanwhile", () =>
    Effect.gen(function*() {
      yield* PastDays.make(9, 0)
      const sql = yield* SqlClient.SqlClient
      const { commit } = yield* openTransaction(sql`SELECT FROM deliveries`)
      yield* Effect.flip(enforce(7))
      yield* commit
      const partition = sql(yield* PastDays.partitionOf("deliveries", 9))
      yield* sql`ALTER TABLE deliveries DETACH PARTITION ${partition} FINALIZE`
      yield* sql`ALTER TABLE ${partition} ADD COLUMN extra integer`
      assert.match((yield* Effect.flip(enforce(30))).message, /"extra" not found in parent/)
      yield* sql`ALTER TABLE ${partition} DROP COLUMN extra`
      yield* enforce(30)
      assert.deepStrictEqual(yield* PastDays.agesOf("deliveries"), range(9, 0))
    }).pipe(Effect.provide(Stores.layer)))

  it.scopedLive("attaches a day again in which a delivery was sent again while it was being detached", () =>
    Effect.gen(function*() {
      yield* PastDays.make(9, 0)
      const delivery = yield* finished(9)
      const sql = yield* SqlClient.SqlClient
      const { commit } = yield* openTransaction(sql`
        UPDATE deliveries SET status = 'pending', next_retry_at = now(), delivered_at = NULL WHERE id = ${delivery}`)
      const enforcing = yield* Effect.fork(enforce(7))
      yield* detachWaits
      yield* commit
      const changes = yield* Fiber.join(enforcing)
      assert.deepInclude(changes, { _tag: "Restored", table: "deliveries", day: yield* PastDays.dayOf(9) })
      assert.lengthOf(yield* sql`SELECT FROM deliveries WHERE id = ${delivery} AND next_retry_at IS NOT NULL`, 1)
      assert.deepStrictEqual(yield* ages, {
        deliveries: [9, ...range(7, 0)],
        attempts: [9, ...range(7, 0)],
        events: [9, ...range(8, 0)]
      })
    }).pipe(Effect.provide(Stores.layer)))

  it.scopedLive("leaves alone what somebody else detached, to keep it", () =>
    Effect.gen(function*() {
      yield* PastDays.make(9, 0)
      const sql = yield* SqlClient.SqlClient
      const partition = yield* PastDays.partitionOf("attempts", 9)
      yield* sql`ALTER TABLE attempts DETACH PARTITION ${sql(partition)}`
      yield* enforce(7)
      assert.lengthOf(yield* sql`SELECT FROM pg_class WHERE relname = ${partition}`, 1)
    }).pipe(Effect.provide(Stores.layer)))

  it.scopedLive("is done once by however many nodes begin at once, while events are published and claimed", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("busy")
      yield* Rows.makeWebhook(client, ["*"])
      yield* PastDays.make(20, 2)
      yield* Effect.forEach([20, 15, 12], finished)
      const published = yield* Ref.make(0)
      const work = yield* Rows.publish(client, "deal.won").pipe(
        Effect.zipRight(Rows.claim(10)),
        Effect.zipRight(Ref.update(published, (n) => n + 1)),
        Effect.forever,
        Effect.fork
      )
      yield* eventually(Ref.get(published), (n) => n > 0)
      const before = yield* Ref.get(published)
      const changes = yield* Effect.all(Array.from({ length: 4 }, () => enforce(7)), { concurrency: "unbounded" })
      yield* eventually(Ref.get(published), (n) => n > before)
      assert.isTrue(Option.isNone(yield* Fiber.poll(work)), "nothing failed")
      yield* Fiber.interrupt(work)
      const all = dropped(changes.flat())
      assert.strictEqual(new Set(all).size, all.length)
      assert.lengthOf(all, 13 + 13 + 12)
      assert.deepStrictEqual((yield* ages).deliveries.filter((age) => age > 7), [])
    }).pipe(Effect.provide(Stores.layer)))
})
