/**
 * The outbox: events that somebody put into the database within a transaction of his own. A row is claimed by putting it
 * off, published, and deleted; a node that ends in between leaves it to be claimed again, and the idempotency key that
 * follows from its id makes the repetition harmless. What is no event is set aside, with the reason.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { WebhookUuid } from "./Columns.ts"
import { PersistenceError } from "./Postgres.ts"

/** As it was put there: what it says is yet to be looked at. */
const OutboxRow = Schema.Struct({
  id: Schema.UUID,
  clientId: Schema.String,
  eventType: Schema.String,
  /** Null where it has more bytes than anybody may hand over. */
  payload: Schema.NullOr(Schema.String),
  /** Unix milliseconds; Postgres knows moments, infinity among them, that nobody else does. */
  occurredAtMs: Schema.Number,
  about: Schema.NullOr(WebhookUuid),
  isNotice: Schema.Boolean
})
export type OutboxRow = typeof OutboxRow.Type

export interface OutboxOptions {
  /** The most that a payload's text may have. */
  readonly payloadBytesMax: number
}

/** Rows of one claim: the oldest of each client, in turn. */
const claimMax = 100

/** Seconds for which a claim puts a row off: longer than publishing takes, and longer each time that it did not succeed. */
const pauseSeconds = { first: 30, most: 3_600 }

const claim = (sql: SqlClient.SqlClient, { payloadBytesMax }: OutboxOptions) =>
  SqlSchema.findAll({
    Request: Schema.Void,
    Result: OutboxRow,
    execute: () =>
      sql`
        WITH RECURSIVE walk AS (
          -- From client to client through the index, never row by row through one client's backlog.
          (SELECT client_id FROM outbox WHERE refusal IS NULL ORDER BY client_id LIMIT 1)
          UNION ALL
          SELECT (SELECT o.client_id FROM outbox o
                  WHERE o.refusal IS NULL AND o.client_id > walk.client_id ORDER BY o.client_id LIMIT 1)
          FROM walk WHERE walk.client_id IS NOT NULL
        ), candidate AS (
          SELECT due.id
          FROM walk CROSS JOIN LATERAL (
            SELECT o.id, o.due_at, row_number() OVER (ORDER BY o.due_at, o.id) AS nth FROM outbox o
            WHERE o.client_id = walk.client_id AND o.refusal IS NULL AND o.due_at <= now()
            ORDER BY o.due_at, o.id LIMIT ${claimMax}
          ) due
          ORDER BY due.nth, due.due_at LIMIT ${claimMax}
        ), claimable AS (
          SELECT o.id FROM outbox o
          WHERE o.id IN (SELECT id FROM candidate) AND o.refusal IS NULL AND o.due_at <= now()
          FOR UPDATE SKIP LOCKED
        ), claimed AS (
          UPDATE outbox o SET
            due_at = now() + least(${pauseSeconds.most}, ${pauseSeconds.first} * 2.0 ^ least(o.attempts, 20))
              * interval '1 second',
            attempts = o.attempts + 1
          FROM claimable c WHERE o.id = c.id
          RETURNING o.*
        )
        SELECT id, client_id, event_type, about, is_notice,
          CASE WHEN octet_length(payload) <= ${payloadBytesMax} THEN payload END AS payload,
          floor(extract(epoch FROM occurred_at) * 1000)::float8 AS occurred_at_ms
        FROM claimed ORDER BY id
      `
  })

const remove = (sql: SqlClient.SqlClient) =>
  SqlSchema.void({
    Request: Schema.Array(Schema.UUID),
    execute: (ids) => sql`DELETE FROM outbox WHERE id = ANY(${ids}::uuid[])`
  })

const refuse = (sql: SqlClient.SqlClient) =>
  SqlSchema.void({
    Request: Schema.Struct({ id: Schema.UUID, reason: Schema.String }),
    execute: ({ id, reason }) => sql`UPDATE outbox SET refusal = ${reason} WHERE id = ${id}`
  })

export class Outbox extends Context.Tag("deeper-hub-webhooks/persistence/Outbox")<Outbox, {
  /** Some of the rows that are due, which nobody else gets for a while. None: there are none. */
  readonly claim: Effect.Effect<ReadonlyArray<OutboxRow>, PersistenceError>
  /** Rows that were published. */
  readonly remove: (ids: ReadonlyArray<string>) => Effect.Effect<void, PersistenceError>
  /** Sets a row aside for good; whoever mends it sets `refusal` to null. */
  readonly refuse: (id: string, reason: string) => Effect.Effect<void, PersistenceError>
}>() {
  static readonly layer = (options: OutboxOptions) =>
    Layer.effect(
      this,
      Effect.map(SqlClient.SqlClient, (sql) => {
        const statements = { claim: claim(sql, options), remove: remove(sql), refuse: refuse(sql) }
        return Outbox.of({
          claim: statements.claim(undefined).pipe(PersistenceError.refail("Outbox.claim")),
          remove: (ids) => statements.remove(ids).pipe(PersistenceError.refail("Outbox.remove")),
          refuse: (id, reason) => statements.refuse({ id, reason }).pipe(PersistenceError.refail("Outbox.refuse"))
        })
      })
    )
}
