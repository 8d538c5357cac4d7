/**
 * What a claim reads follows from what it takes, not from what waits; what a batch of outcomes reads from the batch, not from
 * what else is in hand. How long that takes is the machine's: the benchmark's `backlog` measures it with a million.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer, vi } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { toUuid, type WebhookId } from "../../src/domain/Ids.ts"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import * as Postgres from "../../src/persistence/Postgres.ts"
import * as PgTest from "../support/PgTest.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const most = 100

vi.setConfig({ testTimeout: 120_000 })

/** A webhook for which so many deliveries are due. */
const backlogged = (count: number) =>
  Effect.gen(function*() {
    const client = yield* Rows.makeClient(`backlog-${count}`)
    const { id } = yield* Rows.makeWebhook(client, ["deal.*"])
    const sql = yield* SqlClient.SqlClient
    yield* sql`
      WITH event AS (
        INSERT INTO events (id, client_id, event_type, body, occurred_at)
        VALUES (uuid_v7(), ${client}, 'deal.won', '{}', now()) RETURNING id
      )
      INSERT INTO deliveries (id, webhook_id, client_id, event_id, event_type, next_retry_at)
      SELECT uuid_v7(), ${toUuid(id)}, ${client}, event.id, 'deal.won', now() - n * interval '1 millisecond'
      FROM event, generate_series(1, ${count}) AS n`
    return id
  })

const decode = Schema.decodeUnknown(
  Schema.Tuple(Schema.Struct({ byScan: Schema.NumberFromString, byIndex: Schema.NumberFromString }))
)

/** Rows of deliveries that this transaction has read. */
const read = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  sql`
    SELECT sum(seq_tup_read) AS by_scan, sum(idx_tup_fetch) AS by_index FROM pg_stat_xact_user_tables
    WHERE relname LIKE 'deliveries%'
  `.pipe(Effect.flatMap(decode), Effect.map(([rows]) => rows)))

/** As the service is connected: it plans a claim once. */
const asInProduction = Layer.unwrapEffect(Effect.map(PgTest.url, (url) =>
  DeliveryStore.layer.pipe(
    Layer.provideMerge(Postgres.layer({ url: Redacted.make(url), poolMax: 1, queryTimeout: "60 seconds" }))
  )))

/** How many rows of deliveries it reads. */
const reading = <E>(self: Effect.Effect<unknown, E, DeliveryStore>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    return yield* sql.withTransaction(Effect.gen(function*() {
      const before = yield* read
      yield* self
      const after = yield* read
      return { byScan: after.byScan - before.byScan, byIndex: after.byIndex - before.byIndex }
    }))
  })

const assertReadsFew = (reads: ReadonlyArray<{ readonly byScan: number; readonly byIndex: number }>) => {
  for (const { byIndex, byScan } of reads) {
    assert.strictEqual(byScan, 0, JSON.stringify(reads))
    assert.isAtLeast(byIndex, most, "it is counted")
    assert.isAtMost(byIndex, 6 * most, JSON.stringify(reads))
  }
}

const claim = (webhookId: WebhookId, count = most) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const webhooks = [{ webhookId, most: count }]
    const claimed = yield* store.claim({ webhooks, leaseToken: randomUUID(), leaseSeconds: 30 })
    assert.lengthOf(claimed, count)
    return claimed
  })

layer(Stores.layer, Stores.options)("What a statement reads", (it) => {
  it.effect("J77 a claim reads as many rows of a backlog of 50,000 as of one of 2,000: a few for each that it takes", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const webhooks = yield* Effect.forEach([2_000, 50_000], (count) => backlogged(count))
      yield* sql`ANALYZE deliveries`
      assertReadsFew(
        yield* Effect.forEach(webhooks, (webhookId) => reading(claim(webhookId))).pipe(Effect.provide(asInProduction))
      )
    }))

  it.effect("J77 a batch of outcomes reads as many rows beside 5,000 others in hand as beside none", () =>
    Effect.gen(function*() {
      const alone = yield* backlogged(most)
      const busy = yield* backlogged(6_000)
      const record = (claimed: ReadonlyArray<ClaimedDelivery>) =>
        Effect.gen(function*() {
          const store = yield* DeliveryStore
          const outcomes = yield* Effect.forEach(claimed, (delivery) => Rows.outcome(delivery))
          assert.strictEqual((yield* store.record(outcomes)).deliveries.size, most)
        })
      yield* Effect.gen(function*() {
        const first = yield* claim(alone)
        const besideNone = yield* reading(record(first))
        const some = yield* claim(busy)
        yield* claim(busy, 5_000)
        assertReadsFew([besideNone, yield* reading(record(some))])
      }).pipe(Effect.provide(asInProduction))
    }))
})
