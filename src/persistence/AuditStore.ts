/** The audit log: written in the transaction of the change that it tells of, and never changed. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { ActorRole, AuditAction, AuditEntry } from "../domain/Audit.ts"
import { Reach } from "../domain/Client.ts"
import { ClientId, fromUuid, toUuid } from "../domain/Ids.ts"
import * as Page from "../domain/Page.ts"
import { AuditUuid, JsonFromText, KeyUuid, Timestamp } from "./Columns.ts"
import { PersistenceError, transaction } from "./Postgres.ts"

/** Resources whose ids are kept as UUIDs: the database itself writes entries too, and knows no other form. */
const kinds = { alert: "AlertId", api_key: "KeyId", delivery: "DeliveryId", webhook: "WebhookId" } as const

const stored = (resource: string, id: string): string => resource in kinds ? toUuid(id as never) : id

const shown = (resource: string, id: string): string =>
  resource in kinds ? fromUuid(kinds[resource as keyof typeof kinds], id) : id

const typeId = /^(alr|dlv|key|whk)_[0-7][0-9a-hjkmnp-tv-z]{25}$/

/** A filter names no kind of resource, and a client may have a name that looks like an id. */
const storedForms = (id: string): ReadonlyArray<string> => typeId.test(id) ? [id, toUuid(id as never)] : [id]

const JsonObjectText = Schema.compose(JsonFromText, Schema.typeSchema(AuditEntry.fields.before), { strict: false })

const Row = Schema.Struct({
  ...AuditEntry.fields,
  id: AuditUuid,
  keyId: Schema.NullOr(KeyUuid),
  resource: Schema.String,
  before: Schema.NullOr(JsonObjectText),
  after: Schema.NullOr(JsonObjectText),
  createdAt: Timestamp
})

/** `before` and `after` are JSON texts. */
const NewEntry = Schema.Struct({
  action: AuditAction,
  clientId: Schema.NullOr(ClientId),
  resourceId: Schema.String,
  keyId: Schema.NullOr(KeyUuid),
  role: ActorRole,
  address: Schema.NullOr(Schema.String),
  before: Schema.NullOr(Schema.String),
  after: Schema.NullOr(Schema.String)
})
export type NewEntry = typeof NewEntry.Type

export interface AuditFilter {
  readonly action: AuditAction | null
  readonly resourceId: string | null
}

const resourceOf = ({ action }: Pick<NewEntry, "action">): string => action.split(".", 1)[0] ?? ""

const append = (sql: SqlClient.SqlClient) =>
  SqlSchema.void({
    Request: NewEntry,
    execute: (entry) =>
      sql`
        INSERT INTO audit_log (client_id, action, resource, resource_id, key_id, role, address, before, after)
        VALUES (
          ${entry.clientId}, ${entry.action}, ${resourceOf(entry)}, ${stored(resourceOf(entry), entry.resourceId)},
          ${entry.keyId}, ${entry.role}, ${entry.address}, ${entry.before}, ${entry.after})
      `
  })

const list = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({
      ...Reach.fields,
      action: Schema.NullOr(AuditAction),
      resourceIds: Schema.NullOr(Schema.Array(Schema.String)),
      after: Schema.NullOr(Schema.String),
      rows: Schema.Int
    }),
    Result: Row,
    execute: ({ action, after, only, resourceIds, rows }) =>
      sql`
        SELECT * FROM audit_log
        WHERE (${only}::text IS NULL OR client_id = ${only})
          AND (${action}::text IS NULL OR action = ${action})
          AND (${resourceIds}::text[] IS NULL OR resource_id = ANY(${resourceIds}::text[]))
          AND (${after}::uuid IS NULL OR id < ${after})
        ORDER BY id DESC LIMIT ${rows}
      `
  })

export class AuditStore extends Context.Tag("deeper-hub-webhooks/persistence/AuditStore")<AuditStore, {
  /** Makes a change and appends its entries in one transaction: neither is there without the other. */
  readonly record: <A, E, R>(
    change: Effect.Effect<A, E, R>,
    entries: (done: A) => ReadonlyArray<NewEntry>
  ) => Effect.Effect<A, E | PersistenceError, R>
  readonly list: (
    reach: Reach,
    filter: AuditFilter,
    page: Page.PageRequest
  ) => Effect.Effect<Page.Page<AuditEntry>, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const statements = { append: append(sql), list: list(sql) }
      return AuditStore.of({
        record: (change, entries) =>
          change.pipe(
            Effect.tap((done) => Effect.forEach(entries(done), statements.append, { discard: true })),
            transaction(sql),
            PersistenceError.refail("AuditStore.record")
          ),
        list: (reach, { action, resourceId }, page) =>
          statements.list({
            ...reach,
            action,
            resourceIds: resourceId === null ? null : storedForms(resourceId),
            after: page.after,
            rows: page.limit + 1
          }).pipe(
            Effect.map((rows) => Page.fromRows(rows.map(entryOf), page, (entry) => toUuid(entry.id))),
            PersistenceError.refail("AuditStore.list")
          )
      })
    })
  )
}

const entryOf = ({ resource, ...row }: typeof Row.Type): AuditEntry => ({
  ...row,
  resourceId: shown(resource, row.resourceId)
})
