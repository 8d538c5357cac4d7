import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import { Outbox } from "../../src/persistence/Outbox.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

/** As a platform does it. */
const put = (client: string, payload = "{}", type = "deal.won") =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      sql`INSERT INTO outbox (client_id, event_type, payload) VALUES (${client}, ${type}, ${payload}) RETURNING id`
        .pipe(
          Effect.map(([row]) => String(row?.["id"]))
        )
  )

/** Takes out of the way whatever an earlier test left. */
const empty = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM outbox`)

const makeDue = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`UPDATE outbox SET due_at = now()`)

const claimed = Effect.flatMap(Outbox, (outbox) => Effect.map(outbox.claim, (rows) => rows.map(({ id }) => id)))

/** Seconds until the only row is due. */
const pause = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) =>
    sql`SELECT round(extract(epoch FROM due_at - now()))::int AS seconds FROM outbox`.pipe(
      Effect.map(([row]) => Number(row?.["seconds"]))
    )
)

layer(Stores.layer, Stores.options)("Outbox", (it) => {
  it.effect("gives a row as it was put there, and to one claimer only", () =>
    Effect.gen(function*() {
      yield* empty
      const client = yield* Rows.makeClient("given")
      const about = yield* Ids.make("WebhookId")
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        INSERT INTO outbox (client_id, event_type, payload, occurred_at, about, is_notice) VALUES (
          ${client}, 'not a type', 'not json', '2025-02-20T09:34:00.123456Z', ${Ids.toUuid(about)}, true)`
      const outbox = yield* Outbox
      const [row, ...others] = yield* outbox.claim
      assert.isEmpty(others)
      assert(row)
      const { id: _, ...rest } = row
      assert.deepStrictEqual(rest, {
        clientId: client,
        eventType: "not a type",
        payload: "not json",
        occurredAtMs: Date.parse("2025-02-20T09:34:00.123Z"),
        about,
        isNotice: true
      })
      assert.isEmpty(yield* outbox.claim)
    }))

  it.effect("never gives a row to two who claim at once", () =>
    Effect.gen(function*() {
      yield* empty
      const client = yield* Rows.makeClient("shared")
      yield* Effect.replicateEffect(put(client), 250, { concurrency: 8 })
      const rounds = yield* Effect.replicateEffect(claimed, 12, { concurrency: 6 })
      const ids = rounds.flat()
      assert.strictEqual(new Set(ids).size, ids.length)
      assert.isAtLeast(ids.length, 100)
      while ((yield* claimed).length > 0);
      assert.isEmpty(yield* claimed)
    }))

  it.effect("puts a row off with each claim, for longer each time; what was published is gone", () =>
    Effect.gen(function*() {
      yield* empty
      const id = yield* put(yield* Rows.makeClient("put-off"))
      for (const seconds of [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]) {
        assert.deepStrictEqual(yield* claimed, [id])
        assert.closeTo(yield* pause, seconds, 2)
        yield* makeDue
      }
      yield* Effect.flatMap(Outbox, (outbox) => outbox.remove([id]))
      assert.isEmpty(yield* claimed)
    }))

  it.effect("sets aside what was refused, until somebody mends it", () =>
    Effect.gen(function*() {
      yield* empty
      const client = yield* Rows.makeClient("aside")
      const [bad, good] = [yield* put(client), yield* put(client)]
      const sql = yield* SqlClient.SqlClient
      yield* Effect.flatMap(Outbox, (outbox) => outbox.refuse(bad, "it is no event"))
      assert.deepStrictEqual(yield* claimed, [good])
      assert.deepStrictEqual(yield* sql`SELECT refusal FROM outbox WHERE id = ${bad}`, [{ refusal: "it is no event" }])
      yield* sql`UPDATE outbox SET refusal = NULL WHERE id = ${bad}`
      assert.deepStrictEqual(yield* claimed, [bad])
    }))

  it.effect("lets nobody wait behind another client's many", () =>
    Effect.gen(function*() {
      yield* empty
      const [many, few] = [yield* Rows.makeClient("a-many"), yield* Rows.makeClient("z-few")]
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        INSERT INTO outbox (client_id, event_type, payload) SELECT ${many}, 'deal.won', '{}' FROM generate_series(1, 1000)`
      const ids = [yield* put(few), yield* put(few)]
      const first = yield* claimed
      assert.lengthOf(first, 100)
      assert.includeMembers(first, ids)
    }))

  it.effect("keeps a payload that is larger than any may be out of memory, and a moment that is none apart", () =>
    Effect.gen(function*() {
      yield* empty
      const client = yield* Rows.makeClient("large")
      yield* put(client, `{"a": "${"x".repeat(200_000)}"}`)
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        INSERT INTO outbox (client_id, event_type, payload, occurred_at) VALUES (${client}, 'deal.won', '{}', 'infinity')`
      const rows = yield* Effect.flatMap(Outbox, (outbox) => outbox.claim)
      assert.deepStrictEqual(rows.map(({ payload }) => payload), [null, "{}"])
      assert.strictEqual(rows[1]?.occurredAtMs, Infinity)
    }))
})
