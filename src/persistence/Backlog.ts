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
  oldestDueAgeSeconds: Schema.Number,
  postgresVersion: Schema.String
})

/** Counting goes so far and no further: a million waiting rows must not make the question expensive. */
const countMax = 10_000

export class Backlog extends Context.Tag("deeper-hub-webhooks/persistence/Backlog")<Backlog, {
  readonly snapshot: Effect.Effect<typeof Snapshot.Type, PersistenceError>
  /** Whether the database answers. */
  readonly ping: Effect.Effect<void, PersistenceError>
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
            WITH due AS (
              SELECT next_retry_at FROM deliveries
              WHERE next_retry_at <= now() AND lease_token IS NULL AND hold IS NULL LIMIT ${countMax}
            )
            SELECT (SELECT count(*)::int FROM due) AS waiting,
              (SELECT count(*)::int FROM (SELECT FROM deliveries WHERE hold IS NOT NULL LIMIT ${countMax}) h) AS held,
              coalesce((SELECT extract(epoch FROM now() - min(next_retry_at))::float8 FROM due), 0)
                AS oldest_due_age_seconds,
              current_setting('server_version') AS postgres_version
          `
      })
      return Backlog.of({
        snapshot: snapshot().pipe(
          Effect.catchTag("NoSuchElementException", Effect.die),
          PersistenceError.refail("Backlog.snapshot")
        ),
        ping: sql`SELECT 1`.pipe(Effect.asVoid, PersistenceError.refail("Backlog.ping"))
      })
    })
  )
}
