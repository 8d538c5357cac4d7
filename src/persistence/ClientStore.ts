/** Tenants and their API keys. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ApiKey, Client } from "../domain/Client.ts"
import { EmailAddress } from "../domain/EmailAddress.ts"
import { ClientId, type KeyId, toUuid } from "../domain/Ids.ts"
import * as Page from "../domain/Page.ts"
import type { AtOnce } from "./AtOnce.ts"
import { KeyUuid, Timestamp } from "./Columns.ts"
import { PersistenceError } from "./Postgres.ts"
import { ReadCache } from "./ReadCache.ts"

const ClientRow = Schema.Struct({ ...Client.fields, createdAt: Timestamp })

const ClientChanges = Schema.Struct({
  name: Schema.optional(Schema.NullOr(Schema.String)),
  alertEmail: Schema.optional(Schema.NullOr(EmailAddress))
})
/** What is absent stays as it is. */
export interface ClientChanges extends Schema.Schema.Type<typeof ClientChanges> {}

const KeyRow = Schema.Struct({
  ...ApiKey.fields,
  id: KeyUuid,
  createdAt: Timestamp,
  expiresAt: Schema.NullOr(Timestamp),
  revokedAt: Schema.NullOr(Timestamp)
})

const NewKey = Schema.Struct({
  ...Schema.Struct(ApiKey.fields).pick("clientId", "role", "name").fields,
  id: KeyUuid,
  expiresAt: Schema.NullOr(Timestamp),
  secretHash: Schema.Uint8ArrayFromSelf
})

const LiveKey = Schema.Struct({
  ...Schema.Struct(ApiKey.fields).pick("clientId", "role").fields,
  id: KeyUuid,
  secretHash: Schema.Uint8ArrayFromSelf,
  /** By the database's clock, when it was read. */
  leftMs: Schema.NullOr(Schema.Number)
})
type LiveKey = typeof LiveKey.Type

const insert = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: Client.pick("id", "name", "alertEmail"),
    Result: ClientRow,
    execute: ({ alertEmail, id, name }) =>
      sql`
        INSERT INTO clients (id, name, alert_email) VALUES (${id}, ${name}, ${alertEmail})
        ON CONFLICT DO NOTHING RETURNING *
      `
  })

/** The row lock makes two changes at once follow one another, so that each knows what it changed. */
const update = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: Schema.Struct({ id: ClientId, ...ClientChanges.fields }),
    Result: Schema.Struct({
      ...ClientRow.fields,
      nameBefore: Client.fields.name,
      alertEmailBefore: Client.fields.alertEmail
    }),
    execute: ({ alertEmail, id, name }) =>
      sql`
        UPDATE clients c SET
          name = CASE WHEN ${name !== undefined} THEN ${name ?? null} ELSE old.name END,
          alert_email = CASE WHEN ${alertEmail !== undefined} THEN ${alertEmail ?? null} ELSE old.alert_email END
        FROM (SELECT * FROM clients WHERE id = ${id} FOR UPDATE) old
        WHERE c.id = old.id
        RETURNING c.*, old.name AS name_before, old.alert_email AS alert_email_before
      `
  })

const find = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: ClientId,
    Result: ClientRow,
    execute: (id) => sql`SELECT * FROM clients WHERE id = ${id}`
  })

const page = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({ after: Schema.NullOr(Schema.String), rows: Schema.Int }),
    Result: ClientRow,
    execute: ({ after, rows }) =>
      sql`
        SELECT c.* FROM clients c
        LEFT JOIN clients cursor ON cursor.id = ${after}
        WHERE cursor.id IS NULL OR (c.created_at, c.id) < (cursor.created_at, cursor.id)
        ORDER BY c.created_at DESC, c.id DESC LIMIT ${rows}
      `
  })

const insertKey = (sql: SqlClient.SqlClient) =>
  SqlSchema.single({
    Request: NewKey,
    Result: KeyRow,
    execute: (key) =>
      sql`
        INSERT INTO api_keys (id, client_id, role, name, secret_hash, expires_at)
        VALUES (${key.id}, ${key.clientId}, ${key.role}, ${key.name}, ${key.secretHash}, ${key.expiresAt})
        RETURNING *
      `
  })

const keyPage = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({ client: ClientId, after: Schema.NullOr(Schema.String), rows: Schema.Int }),
    Result: KeyRow,
    execute: ({ client, after, rows }) =>
      sql`
        SELECT * FROM api_keys
        WHERE client_id = ${client} AND (${after}::uuid IS NULL OR id < ${after}::uuid)
        ORDER BY id DESC LIMIT ${rows}
      `
  })

const liveKey = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: KeyUuid,
    Result: LiveKey,
    execute: (id) =>
      sql`
        SELECT
          id, client_id, role, secret_hash,
          (1000 * (extract(epoch FROM expires_at) - extract(epoch FROM now())))::float8 AS left_ms
        FROM api_keys
        WHERE id = ${id} AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
      `
  })

const revoke = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: Schema.Struct({ client: ClientId, id: KeyUuid }),
    Result: Schema.Struct({ revokedNow: Schema.Boolean }),
    execute: ({ client, id }) =>
      sql`
        UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())
        WHERE id = ${id} AND client_id = ${client} RETURNING revoked_at = now() AS revoked_now
      `
  })

export class ClientStore extends Context.Tag("deeper-hub-webhooks/persistence/ClientStore")<ClientStore, {
  /** Answers none where the id is taken. */
  readonly insert: (
    client: Pick<Client, "id" | "name" | "alertEmail">
  ) => Effect.Effect<Option.Option<Client>, PersistenceError>
  /** The client as it was and as it is; none where there is no such client. */
  readonly update: (
    id: ClientId,
    changes: ClientChanges
  ) => Effect.Effect<Option.Option<{ readonly before: Client; readonly after: Client }>, PersistenceError>
  readonly exists: (id: ClientId) => AtOnce<boolean, PersistenceError>
  readonly list: (page: Page.PageRequest) => Effect.Effect<Page.Page<Client>, PersistenceError>
  readonly insertKey: (key: typeof NewKey.Type) => Effect.Effect<ApiKey, PersistenceError>
  readonly listKeys: (client: ClientId, page: Page.PageRequest) => Effect.Effect<Page.Page<ApiKey>, PersistenceError>
  /**
   * The key with its secret's hash, unless it was revoked or has expired. It is remembered for those who come with its
   * secret: a guess at one takes the same steps whether there is such a key or not.
   */
  readonly liveKey: (
    id: KeyId,
    secretHash: Uint8Array
  ) => AtOnce<Option.Option<Omit<LiveKey, "leftMs">>, PersistenceError>
  /** Whether there is an operator's key that is neither revoked nor expired. */
  readonly hasOperator: Effect.Effect<boolean, PersistenceError>
  /** Revokes a key for good, and says whether it worked until now. None where the client has no such key. */
  readonly revokeKey: (
    client: ClientId,
    id: KeyId
  ) => Effect.Effect<Option.Option<{ readonly revokedNow: boolean }>, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const cache = yield* ReadCache
      const liveKeys = yield* cache.open<Option.Option<LiveKey>>("api_keys")
      const known = yield* cache.open<boolean>("clients")
      const statements = {
        insert: insert(sql),
        update: update(sql),
        find: find(sql),
        page: page(sql),
        insertKey: insertKey(sql),
        keyPage: keyPage(sql),
        liveKey: liveKey(sql),
        revoke: revoke(sql)
      }
      return ClientStore.of({
        insert: (client) =>
          statements.insert(client).pipe(cache.forgetting("clients"), PersistenceError.refail("ClientStore.insert")),
        update: (id, changes) =>
          statements.update({ ...changes, id }).pipe(
            Effect.map(Option.map(({ alertEmailBefore, nameBefore, ...after }) => ({
              before: { ...after, name: nameBefore, alertEmail: alertEmailBefore },
              after
            }))),
            cache.forgetting("clients"),
            PersistenceError.refail("ClientStore.update")
          ),
        exists: (id) =>
          known.read(
            id,
            () => statements.find(id).pipe(Effect.map(Option.isSome), PersistenceError.refail("ClientStore.exists")),
            (exists) => exists ? Infinity : 0
          ),
        list: (request) =>
          statements.page({ after: request.after, rows: request.limit + 1 }).pipe(
            Effect.map((rows) => Page.fromRows(rows, request, (client) => client.id)),
            PersistenceError.refail("ClientStore.list")
          ),
        insertKey: (key) =>
          statements.insertKey(key).pipe(
            Effect.catchTag("NoSuchElementException", Effect.die),
            cache.forgetting("api_keys"),
            PersistenceError.refail("ClientStore.insertKey")
          ),
        listKeys: (client, request) =>
          statements.keyPage({ client, after: request.after, rows: request.limit + 1 }).pipe(
            Effect.map((rows) => Page.fromRows(rows, request, (key) => toUuid(key.id))),
            PersistenceError.refail("ClientStore.listKeys")
          ),
        liveKey: (id, secretHash) =>
          liveKeys.read(
            `${id} ${Buffer.from(secretHash).toString("base64")}`,
            () => statements.liveKey(id).pipe(PersistenceError.refail("ClientStore.liveKey")),
            keptMs(secretHash)
          ),
        hasOperator: sql`
          SELECT FROM api_keys
          WHERE role = 'operator' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) LIMIT 1
        `.pipe(Effect.map((rows) => rows.length > 0), PersistenceError.refail("ClientStore.hasOperator")),
        revokeKey: (client, id) =>
          statements.revoke({ client, id }).pipe(
            cache.forgetting("api_keys"),
            PersistenceError.refail("ClientStore.revokeKey")
          )
      })
    })
  )
}

/** Until it expires: the database said how long that is, so no clock is compared with another. */
const keptMs = (secretHash: Uint8Array) => (found: Option.Option<LiveKey>): number =>
  Option.match(found, {
    onNone: () => 0,
    onSome: (key) => Buffer.compare(key.secretHash, secretHash) === 0 ? key.leftMs ?? Infinity : 0
  })
