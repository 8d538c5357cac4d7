/**
 * What a claim reads follows from what it takes, not from what waits; what a batch of outcomes reads from the batch, not from
 * what else is in hand. How long that takes is the machine's: the benchmark's `backlog` measures it with a million.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer, vi } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { toUuid, type WebhookId } from "../../src/domain/Ids.ts"
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

const Counts = Schema.Struct({
  byScan: Schema.NumberFromString,
  byIndex: Schema.NumberFromString,
  /** Of each partition, how often one of its indexes was looked into. */
  looks: Schema.Record({ key: Schema.String, value: Schema.Number })
})

const decode = Schema.decodeUnknown(Schema.Tuple(Counts))

/** Rows of deliveries that this transaction has read. */
const counted = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  sql`
    SELECT sum(seq_tup_read) AS by_scan, sum(idx_tup_fetch) AS by_index, json_object_agg(relname, coalesce(idx_scan, 0)) AS looks
    FROM pg_stat_xact_user_tables WHERE relname LIKE 'deliveries%'
  `.pipe(Effect.flatMap(decode), Effect.map(([counts]) => counts)))

interface Reads {
  readonly byScan: number
  readonly byIndex: number
  readonly partitions: number
}

/** As the service is connected: it plans a claim once. */
const asInProduction = Layer.unwrapEffect(Effect.map(PgTest.url, (url) =>
  DeliveryStore.layer.pipe(
    Layer.provideMerge(Postgres.layer({ url: Redacted.make(url), poolMax: 1, queryTimeout: "60 seconds" }))
  )))

/** What of deliveries it reads. */
const reading = <E>(self: Effect.Effect<unknown, E, DeliveryStore>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    return yield* sql.withTransaction(Effect.gen(function*() {
      const before = yield* counted
      yield* self
      const after = yield* counted
      const reads: Reads = {
        byScan: after.byScan - before.byScan,
        byIndex: after.byIndex - before.byIndex,
        partitions: Object.entries(after.looks).filter(([name, looks]) => looks > (before.looks[name] ?? 0)).length
      }
      return reads
    }))
  })

const assertReadsFew = (reads: ReadonlyArray<Reads>) => {
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

  it.effect("J77 a batch of outcomes reads its own deliveries, in one partition, whatever else is in hand", () =>
    Effect.gen(function*() {
      const busy = yield* backlogged(6_000)
      yield* Effect.gen(function*() {
        const store = yield* DeliveryStore
        const claimed = yield* claim(busy, 6_000)
        const byId = claimed.toSorted((a, b) => a.id < b.id ? -1 : 1)
        // All others lie between them.
        const ends = [...byId.slice(0, most / 2), ...byId.slice(-most / 2)]
        const outcomes = yield* Effect.forEach(ends, (delivery) => Rows.outcome(delivery))
        const reads = yield* reading(Effect.map(store.record(outcomes), ({ deliveries }) => {
          assert.strictEqual(deliveries.size, most)
        }))
        assertReadsFew([reads])
        // They may be of two days.
        assert.isAtMost(reads.partitions, 2)
      }).pipe(Effect.provide(asInProduction))
    }))
})
