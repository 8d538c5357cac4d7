/** What months of use leave in the service's database, made in SQL. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { fileURLToPath } from "node:url"
import * as Migrations from "../src/persistence/Migrations.ts"
import { Partitions } from "../src/persistence/Partitions.ts"
import * as Postgres from "../src/persistence/Postgres.ts"
import type { DurablePostgres } from "./DurablePostgres.ts"
import { Failure } from "./Failure.ts"
import type { Sql } from "./Sql.ts"

/** The service's own access to a database, before or without a service. */
export const connected = ({ url }: DurablePostgres) =>
  Layer.merge(
    Postgres.layer({ url: Redacted.make(url), poolMax: 4, queryTimeout: "10 minutes" }),
    NodeContext.layer
  )

export const migrate = (database: DurablePostgres) =>
  Effect.zipRight(
    Migrations.run(fileURLToPath(new URL("../migrations", import.meta.url))),
    Effect.flatMap(Partitions, (partitions) => partitions.ensure)
  ).pipe(
    Effect.provide(Layer.provideMerge(Partitions.layer, connected(database))),
    Effect.mapError((cause) => new Failure({ problem: `no migration: ${cause.message}`, advice: "Mend that first" }))
  )

/** The webhooks of an earlier round take nothing any more: their receiver is gone, and their circuits would open. */
export const retireWebhooks = (sql: Sql) => sql.run("UPDATE webhooks SET deleted_at = now() WHERE deleted_at IS NULL")

/** Rows of one statement: progress shows, and a transaction does not take minutes. */
const chunk = 250_000
const days = 28

/** Delivered deliveries of the last four weeks, ten of each event, with an attempt each. */
export const history = (sql: Sql, deliveries: number) =>
  Effect.gen(function*() {
    yield* sql.run("SELECT ensure_partitions(now()::date - $1::int, now()::date)", [days + 1])
    for (let from = 0; from < deliveries; from += chunk) {
      yield* Console.error(`  … planting history: ${from.toLocaleString("en")} of ${deliveries.toLocaleString("en")}`)
      yield* sql.run(
        `WITH old AS (
          SELECT n, at, overlay(gen_random_uuid()::text PLACING left(uuid_v7_floor(at)::text, 15) FROM 1 FOR 15)::uuid AS id
          FROM generate_series($1::bigint, $2::bigint) AS n,
            LATERAL (SELECT now() - (1 - n::float8 / $3) * $4 * interval '1 day' - interval '1 hour' AS at) AS t
        ), event AS (
          INSERT INTO events (id, client_id, event_type, body, occurred_at, created_at)
          SELECT id, 'default', 'deal.won', repeat('x', 400), at, at FROM old WHERE n % 10 = 0
        ), delivery AS (
          INSERT INTO deliveries (id, webhook_id, client_id, event_id, event_type, status, next_retry_at, attempt_count,
            charged_count, last_response_code, created_at, delivered_at)
          SELECT id, uuid_v7_floor(to_timestamp(n % 1000)), 'default', id, 'deal.won', 'delivered', NULL, 1, 1, 200, at, at
          FROM old
        )
        INSERT INTO attempts (id, delivery_id, number, result, started_at, duration_ms, response_code, response_headers,
          response_body)
        SELECT id, id, 1, 'success', at, 20, 200, '{"content-type": "text/plain"}', 'ok' FROM old`,
        [from, Math.min(from + chunk, deliveries) - 1, deliveries, days]
      )
    }
    yield* sql.run("VACUUM ANALYZE")
  })

/** So many more webhooks of the client that is published for; they want other types. */
export const webhooks = (sql: Sql, count: number) =>
  Effect.gen(function*() {
    // A box that was sealed for another row opens for none: nothing is sent to these, only their number counts.
    yield* sql.run(
      `WITH made AS (
        INSERT INTO webhooks (id, client_id, url, events, secret_sealed, signatures, retry_count, timeout_ms, check_at)
        SELECT uuid_v7(), w.client_id, w.url, ARRAY['other.to' || n % 1000], w.secret_sealed, w.signatures, 5, 5000,
          now() + interval '1 day'
        FROM (SELECT * FROM webhooks LIMIT 1) AS w, generate_series(1, $1) AS n
        RETURNING id, client_id, events
      )
      INSERT INTO subscriptions (client_id, pattern, webhook_id) SELECT client_id, events[1], id FROM made`,
      [count]
    )
    yield* sql.run("ANALYZE webhooks, subscriptions")
  })

/** Deliveries that are due, spread evenly over the first webhooks that were registered, all in one commit. */
export const backlog = (sql: Sql, deliveries: number, webhooks: number) =>
  sql.run(
    `WITH event AS (
      INSERT INTO events (id, client_id, event_type, body, occurred_at)
      SELECT uuid_v7(), 'default', 'bench.backlog', '{"data": {"note": "' || repeat('x', 350) || '"}}', now()
      FROM generate_series(1, 1000)
      RETURNING id
    ), events AS (SELECT array_agg(id) AS ids FROM event
    ), hooks AS (SELECT array_agg(id) AS ids FROM (SELECT id FROM webhooks ORDER BY id LIMIT $2) AS w)
    INSERT INTO deliveries (id, webhook_id, client_id, event_id, event_type, next_retry_at)
    SELECT uuid_v7(), hooks.ids[1 + n % $2::int], 'default', events.ids[1 + n % 1000], 'bench.backlog',
      now() - interval '1 hour' + n * interval '1 millisecond'
    FROM events, hooks, generate_series(0, $1::int - 1) AS n`,
    [deliveries, webhooks]
  ).pipe(
    Effect.zipRight(sql.run("VACUUM ANALYZE deliveries, events")),
    // What planting wrote is written to the tables now, and not while something is measured.
    Effect.zipRight(sql.run("CHECKPOINT"))
  )
