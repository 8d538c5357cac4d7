/** The catalogue of event types. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { EventType, EventTypeName } from "../domain/EventType.ts"
import type { AtOnce } from "./AtOnce.ts"
import { JsonFromText, Timestamp } from "./Columns.ts"
import { PersistenceError, transaction } from "./Postgres.ts"
import { ReadCache } from "./ReadCache.ts"

const EventTypeRow = Schema.Struct({
  ...EventType.fields,
  example: Schema.NullOr(JsonFromText),
  schema: Schema.NullOr(JsonFromText),
  createdAt: Timestamp,
  updatedAt: Timestamp
})

/** `example` and `schema` are JSON text. */
const Description = Schema.Struct({
  ...Schema.Struct(EventType.fields).pick("name", "description", "sensitivePaths").fields,
  example: Schema.NullOr(Schema.String),
  schema: Schema.NullOr(Schema.String)
})

const list = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Void,
    Result: EventTypeRow,
    execute: () => sql`SELECT * FROM event_types ORDER BY name`
  })

const put = (sql: SqlClient.SqlClient) =>
  SqlSchema.single({
    Request: Description,
    Result: EventTypeRow,
    execute: (entry) =>
      sql`
        INSERT INTO event_types (name, description, example, schema, sensitive_paths)
        VALUES (${entry.name}, ${entry.description}, ${entry.example}, ${entry.schema}, ${entry.sensitivePaths})
        ON CONFLICT (name) DO UPDATE SET
          description = excluded.description, example = excluded.example, schema = excluded.schema,
          sensitive_paths = excluded.sensitive_paths, updated_at = now()
        RETURNING *
      `
  })

const remove = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: EventTypeName,
    Result: EventTypeRow,
    execute: (name) => sql`DELETE FROM event_types WHERE name = ${name} RETURNING *`
  })

const lock = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: EventTypeName,
    Result: EventTypeRow,
    execute: (name) => sql`SELECT * FROM event_types WHERE name = ${name} FOR UPDATE`
  })

const sensitive = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Void,
    Result: EventTypeRow.pick("name", "sensitivePaths"),
    execute: () => sql`SELECT name, sensitive_paths FROM event_types WHERE sensitive_paths <> '{}'`
  })

type SensitivePaths = ReadonlyMap<EventTypeName, ReadonlyArray<string>>

export class EventTypeStore extends Context.Tag("deeper-hub-webhooks/persistence/EventTypeStore")<EventTypeStore, {
  /** The whole catalogue by name. It is made by hand, so it is never long. */
  readonly list: Effect.Effect<ReadonlyArray<EventType>, PersistenceError>
  /** Creates the entry, or replaces what it says. Answers what was there and what is. */
  readonly put: (
    entry: typeof Description.Type
  ) => Effect.Effect<{ readonly before: Option.Option<EventType>; readonly after: EventType }, PersistenceError>
  /** Answers what is no more; none where there was no such entry. */
  readonly remove: (name: EventTypeName) => Effect.Effect<Option.Option<EventType>, PersistenceError>
  /** The paths to redact, of each type that has some. */
  readonly sensitivePaths: AtOnce<SensitivePaths, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const cache = yield* ReadCache
      const sensitivePaths = yield* cache.open<SensitivePaths>("event_types")
      const statements = {
        list: list(sql),
        lock: lock(sql),
        put: put(sql),
        remove: remove(sql),
        sensitive: sensitive(sql)
      }
      return EventTypeStore.of({
        list: statements.list().pipe(PersistenceError.refail("EventTypeStore.list")),
        put: (entry) =>
          // A row that is not there yet can't be locked: of two that make it, the second waits and finds the first's.
          sql`SELECT pg_advisory_xact_lock(hashtext(${entry.name}))`.pipe(
            Effect.zipRight(Effect.all({ before: statements.lock(entry.name), after: statements.put(entry) })),
            transaction(sql),
            cache.forgetting("event_types"),
            Effect.catchTag("NoSuchElementException", Effect.die),
            PersistenceError.refail("EventTypeStore.put")
          ),
        remove: (name) =>
          statements.remove(name).pipe(
            cache.forgetting("event_types"),
            PersistenceError.refail("EventTypeStore.remove")
          ),
        sensitivePaths: sensitivePaths.read(
          "all",
          () =>
            statements.sensitive().pipe(
              Effect.map((rows) => new Map(rows.map((row) => [row.name, row.sensitivePaths]))),
              PersistenceError.refail("EventTypeStore.sensitivePaths")
            ),
          () => Infinity
        )
      })
    })
  )
}
