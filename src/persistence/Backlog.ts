/** What waits in the database, for those who watch over it. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { PersistenceError } from "./Postgres.ts"

const Snapshot = Schema.Struct({
  waiting: Schema.Int,
  held: Schema.Int,
  /** Of those, by what they wait for. */
  heldByCircuit: Schema.Int,
  heldByDeactivation: Schema.Int,
  oldestDueAgeSeconds: Schema.Number,
  postgresVersion: Schema.String
})

/** Counting goes so far and no further: a million waiting rows must not make the question expensive. */
const countMax = 10_000

export class Backlog extends Context.Tag("deeper-hub-webhooks/persistence/Backlog")<Backlog, {
  readonly snapshot: Effect.Effect<typeof Snapshot.Type, PersistenceError>
  /** Whether the database, which answers, takes writes: a standby answers and takes none. */
  readonly isWritable: Effect.Effect<boolean, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const snapshot = SqlSchema.single({
        Request: Schema.Void,
        Result: Snapshot,
        execute: () =>
          sql`
            /* one plan */
            WITH RECURSIVE walk AS (
              (SELECT webhook_id FROM deliveries
               WHERE next_retry_at IS NOT NULL AND lease_token IS NULL ORDER BY webhook_id LIMIT 1)
              UNION ALL
              SELECT (SELECT d.webhook_id FROM deliveries d
                      WHERE d.next_retry_at IS NOT NULL AND d.lease_token IS NULL AND d.webhook_id > walk.webhook_id
                      ORDER BY d.webhook_id LIMIT 1)
              FROM walk WHERE walk.webhook_id IS NOT NULL
            ), visited AS (
              SELECT w.id, webhook_hold(w) IS NOT NULL AS held, webhook_hold(w) AS hold
              FROM (SELECT webhook_id FROM walk LIMIT ${countMax}) v JOIN webhooks w ON w.id = v.webhook_id
            ), due AS (
              SELECT v.held, v.hold FROM visited v
              CROSS JOIN LATERAL (
                SELECT FROM deliveries
                WHERE webhook_id = v.id AND next_retry_at <= now() AND lease_token IS NULL LIMIT ${countMax}
              ) d
              LIMIT 2 * ${countMax}
            ), oldest AS (
              SELECT d.next_retry_at FROM visited v
              CROSS JOIN LATERAL (
                SELECT next_retry_at FROM deliveries
                WHERE webhook_id = v.id AND next_retry_at <= now() AND lease_token IS NULL
                ORDER BY next_retry_at LIMIT 1
              ) d
              WHERE NOT v.held
            )
            SELECT (SELECT least(count(*), ${countMax})::int FROM due WHERE NOT held) AS waiting,
              (SELECT least(count(*), ${countMax})::int FROM due WHERE held) AS held,
              (SELECT least(count(*), ${countMax})::int FROM due WHERE hold = 'circuit') AS held_by_circuit,
              (SELECT least(count(*), ${countMax})::int FROM due WHERE hold = 'deactivated') AS held_by_deactivation,
              coalesce((SELECT extract(epoch FROM now() - min(next_retry_at))::float8 FROM oldest), 0)
                AS oldest_due_age_seconds,
              current_setting('server_version') AS postgres_version
          `
      })
      return Backlog.of({
        snapshot: snapshot().pipe(
          Effect.catchTag("NoSuchElementException", Effect.die),
          PersistenceError.refail("Backlog.snapshot")
        ),
        isWritable: sql`SELECT WHERE current_setting('transaction_read_only') = 'off'`.pipe(
          Effect.map((rows) => rows.length > 0),
          PersistenceError.refail("Backlog.isWritable")
        )
      })
    })
  )
}
