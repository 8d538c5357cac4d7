/**
 * What the webhooks' stats cost where attempts are written, and what they save where they are read: the recorder's own
 * statement with and without them, and a month of a busy webhook read from them and from the attempts.
 *
 *     npm run bench:stats            # 30 rounds of each size of batch, 400,000 deliveries
 *     npm run bench:stats -- 60 1000000
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Statement from "@effect/sql/Statement"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { fileURLToPath } from "node:url"
import { fromUuid, make as makeId } from "../src/domain/Ids.ts"
import { StatsWindow } from "../src/domain/WebhookStats.ts"
import * as Migrations from "../src/persistence/Migrations.ts"
import { type Outcome, record } from "../src/persistence/Outcomes.ts"
import { Partitions } from "../src/persistence/Partitions.ts"
import * as Postgres from "../src/persistence/Postgres.ts"
import { StatsStore } from "../src/persistence/StatsStore.ts"
import { race, table } from "./Rounds.ts"
import { server } from "./Server.ts"

const rounds = Number(process.argv[2] ?? 30)
const deliveries = Number(process.argv[3] ?? 400_000)
const webhooks = 50
const token = randomUUID()

/** Webhooks, an event, and deliveries that are all leased to us, a few of each webhook after the other. */
const plant = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* Migrations.run(fileURLToPath(new URL("../migrations", import.meta.url)))
  yield* Effect.flatMap(Partitions, (partitions) => partitions.ensure)
  yield* sql`INSERT INTO clients (id) VALUES ('bench')`
  yield* sql`
    INSERT INTO webhooks (id, client_id, url, events, secret_sealed, signatures, retry_count, timeout_ms)
    SELECT uuid_v7(), 'bench', 'https://example.com/hook', '{*}', 'x', '{deeper_hub}', 5, 5000
    FROM generate_series(1, ${webhooks})`
  yield* sql`
    INSERT INTO events (id, client_id, event_type, body, occurred_at)
    SELECT uuid_v7(), 'bench', 'deal.won', repeat('x', 400), now() FROM generate_series(1, 1000)`
  yield* sql`
    INSERT INTO deliveries (id, webhook_id, client_id, event_id, event_type, lease_token, leased_until)
    SELECT uuid_v7(), w.ids[1 + n / 3 % ${webhooks}::int], 'bench', e.ids[1 + n % 1000], 'deal.won', ${token}::uuid, now() + '1 day'
    FROM (SELECT array_agg(id) AS ids FROM webhooks) w, (SELECT array_agg(id) AS ids FROM events) e,
      generate_series(1, ${deliveries}) AS n`
  yield* sql`ANALYZE`
  const rows = yield* Effect.flatMap(
    sql`SELECT id FROM deliveries ORDER BY id`,
    Schema.decodeUnknown(Schema.Array(Schema.Struct({ id: Schema.UUID })))
  )
  return rows.map(({ id }) => fromUuid("DeliveryId", id))
})

const outcomeOf = (deliveryId: Outcome["deliveryId"], n: number) =>
  Effect.map(makeId("AttemptId"), (attemptId): Outcome => {
    const fails = n % 10 === 0
    return {
      attemptId,
      deliveryId,
      leaseToken: token,
      result: fails ? "failure_retryable" : "success",
      status: fails ? "failed_retryable" : "delivered",
      delayMs: fails ? 60_000 : null,
      charged: true,
      counted: true,
      errorClass: fails ? "http_5xx" : null,
      errorMessage: fails ? "The receiver answered 503." : null,
      exchange: {
        startedAt: 1_700_000_000_000,
        durationMs: 20 + n * 7 % 400,
        peerAddress: "203.0.113.7",
        status: fails ? 503 : 200,
        headers: { "content-type": "text/plain" },
        body: new TextEncoder().encode("ok"),
        bodyTruncated: false,
        bodyError: null,
        certificateExpiresAt: null
      }
    }
  })

/** The same statement without the CTE of the stats; its parameters keep their numbers. */
const withoutStats = Statement.withTransformer((statement, sql) =>
  Effect.sync(() => {
    const [text, values] = statement.compile()
    const cut = text.replace(/\), measured AS \([^]*?\), tally AS \(/, (own) => {
      const parameters = Array.from(new Set(own.match(/\$\d+/g)), (name) => `${name}::text`)
      return `), measured AS (SELECT ${parameters.join()}), tally AS (`
    })
    return sql.unsafe(cut, values)
  })
)

const compareWriting = (ids: ReadonlyArray<Outcome["deliveryId"]>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    let next = 0
    for (const size of [1, 20, 100, 500]) {
      // Of each size a quarter of the deliveries, at the most.
      const times = Math.min(20, Math.floor(ids.length / 4 / size / 2 / (rounds + 1)))
      if (times === 0) return yield* Effect.dieMessage(`too few deliveries for ${rounds} rounds of ${size}`)
      const batch = Effect.suspend(() =>
        Effect.flatMap(
          Effect.forEach(ids.slice(next, next += size), (id, i) => outcomeOf(id, next + i)),
          (outcomes) => record(sql, (statement) => statement, outcomes)
        )
      )
      const contenders = [
        { name: "without stats", run: withoutStats(batch) },
        { name: "with stats", run: batch }
      ]
      const results = yield* race(contenders, { rounds, times, concurrency: 1 })
      yield* Console.log(`${table(`batches of ${size}`, results)}\n`)
    }
    yield* Console.log(`${next} of ${ids.length} deliveries used`)
  })

/** A month of history: one webhook with many attempts, and the stats of a thousand webhooks that are always busy. */
const plantHistory = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`SELECT ensure_partitions(now()::date - 31, now()::date)`
  const [busy] = yield* Effect.flatMap(
    sql`SELECT id FROM webhooks ORDER BY id LIMIT 1`,
    Schema.decodeUnknown(Schema.Array(Schema.Struct({ id: Schema.UUID })))
  )
  const webhook = busy?.id ?? ""
  yield* sql`
    WITH history AS (
      SELECT now() - n * interval '30 days' / ${deliveries}::int AS at, n % 10 = 0 AS fails,
        overlay(uuid_v7()::text PLACING left(uuid_v7_floor(now() - n * interval '30 days' / ${deliveries}::int)::text, 13)
          FROM 1 FOR 13)::uuid AS id
      FROM generate_series(1, ${deliveries}) AS n
    ), delivery AS (
      INSERT INTO deliveries (id, webhook_id, client_id, event_id, event_type, status, next_retry_at, delivered_at,
        attempt_count, created_at)
      SELECT id, ${webhook}::uuid, 'bench', id, 'deal.won', CASE WHEN fails THEN 'failed_permanent' ELSE 'delivered' END,
        NULL, CASE WHEN NOT fails THEN at END, 1, at
      FROM history
    )
    INSERT INTO attempts (id, delivery_id, number, result, error_class, started_at, duration_ms, response_code,
      response_headers, response_body)
    SELECT id, id, 1, CASE WHEN fails THEN 'failure_permanent' ELSE 'success' END, CASE WHEN fails THEN 'http_4xx' END, at,
      20 + extract(second FROM at)::int, 200, '{"content-type": "text/plain"}', 'ok'
    FROM history`
  yield* sql`
    INSERT INTO webhook_stats (webhook_id, at, outcome, attempts, retries, rescheduled, latencies)
    SELECT w.id, date_bin('1 hour', now(), to_timestamp(0)) - hour * interval '1 hour', outcome, 500, 20, 10,
      '{0,0,0,0,0,0,0,0,5,10,50,100,200,100,30,5}'
    FROM (SELECT id FROM webhooks UNION ALL SELECT uuid_v7() FROM generate_series(1, 950)) w,
      generate_series(3, 720) AS hour, unnest('{success,http_5xx,response_timeout}'::text[]) AS outcome`
  yield* sql`VACUUM ANALYZE`
  return webhook
})

const compareReading = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const store = yield* StatsStore
  const webhook = yield* plantHistory
  const id = fromUuid("WebhookId", webhook)
  const fromAttempts = sql`
    SELECT date_bin('1 day', a.started_at, to_timestamp(0)) AS at, coalesce(a.error_class, 'success') AS outcome, count(*),
      percentile_cont(0.95) WITHIN GROUP (ORDER BY a.duration_ms)
    FROM deliveries d JOIN attempts a ON a.delivery_id = d.id
    WHERE d.webhook_id = ${webhook}::uuid AND d.id >= uuid_v7_floor(now() - interval '30 days') GROUP BY 1, 2`
  const contenders = [
    { name: "30d from attempts", run: fromAttempts },
    ...StatsWindow.literals.map((window) => ({
      name: `${window} from stats`,
      run: Effect.orDie(store.read({ only: null }, id, window))
    }))
  ]
  yield* Console.log(table("read one webhook", yield* race(contenders, { rounds: 5, times: 2, concurrency: 1 })))
  const [size] = yield* sql`
    SELECT pg_size_pretty(pg_total_relation_size('webhook_stats')) AS stats,
      (SELECT count(*)::int FROM webhook_stats) AS rows,
      (SELECT pg_size_pretty(sum(pg_total_relation_size(inhrelid))) FROM pg_inherits WHERE inhparent IN
        ('deliveries'::regclass, 'attempts'::regclass)) AS history`
  yield* Console.log(JSON.stringify(size))
})

const program = Effect.gen(function*() {
  const { url } = yield* server
  const connected = Layer.merge(Partitions.layer, StatsStore.layer).pipe(
    Layer.provideMerge(Postgres.layer({ url, poolMax: 4, queryTimeout: "10 minutes" }))
  )
  yield* plant.pipe(
    Effect.flatMap(compareWriting),
    Effect.zipRight(compareReading),
    Effect.provide(connected)
  )
})

program.pipe(
  Effect.scoped,
  Effect.provide(NodeContext.layer),
  Logger.withMinimumLogLevel(LogLevel.Warning),
  NodeRuntime.runMain
)
