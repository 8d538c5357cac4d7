/** The encrypted columns of webhooks as they are, for the one who seals them again under another key. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { ClientId, toUuid, type WebhookId } from "../domain/Ids.ts"
import { WebhookUuid } from "./Columns.ts"
import { PersistenceError } from "./Postgres.ts"

const Sealed = Schema.NullOr(Schema.Uint8ArrayFromSelf)

const SealedRow = Schema.Struct({
  id: WebhookUuid,
  clientId: ClientId,
  secretSealed: Sealed,
  previousSecretSealed: Sealed,
  headersSealed: Sealed
})
export type SealedRow = typeof SealedRow.Type

/** The encrypted columns, of which any may hold nothing. */
export type SealedColumns = Omit<SealedRow, "clientId" | "id">

const stale = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({
      header: Schema.Uint8ArrayFromSelf,
      after: Schema.NullOr(Schema.String),
      rows: Schema.Int
    }),
    Result: SealedRow,
    execute: ({ after, header, rows }) => {
      const isStale = (column: string) => sql`substring(${sql(column)} FROM 1 FOR ${header.length}) <> ${header}`
      return sql`
        SELECT id, client_id, secret_sealed, previous_secret_sealed, headers_sealed FROM webhooks
        WHERE (${after}::uuid IS NULL OR id > ${after})
          AND (${isStale("secretSealed")} OR ${isStale("previousSecretSealed")} OR ${isStale("headersSealed")})
        ORDER BY id LIMIT ${rows}
      `
    }
  })

export class SealedStore extends Context.Tag("deeper-hub-webhooks/persistence/SealedStore")<SealedStore, {
  /** Webhooks of any client with a box that does not begin with these bytes, in the order of their ids. */
  readonly stale: (
    header: Uint8Array,
    after: WebhookId | null,
    limit: number
  ) => Effect.Effect<ReadonlyArray<SealedRow>, PersistenceError>
  /** Puts other boxes in the place of these. False where somebody changed the row meanwhile: theirs stay. */
  readonly replace: (row: SealedRow, columns: SealedColumns) => Effect.Effect<boolean, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const findStale = stale(sql)
      return SealedStore.of({
        stale: (header, after, rows) =>
          findStale({ header, after: after === null ? null : toUuid(after), rows }).pipe(
            PersistenceError.refail("SealedStore.stale")
          ),
        replace: ({ clientId, id, ...old }, columns) =>
          sql`
            UPDATE webhooks SET
              secret_sealed = ${columns.secretSealed},
              previous_secret_sealed = ${columns.previousSecretSealed},
              headers_sealed = ${columns.headersSealed}
            WHERE id = ${toUuid(id)} AND client_id = ${clientId}
              AND secret_sealed IS NOT DISTINCT FROM ${old.secretSealed}::bytea
              AND previous_secret_sealed IS NOT DISTINCT FROM ${old.previousSecretSealed}::bytea
              AND headers_sealed IS NOT DISTINCT FROM ${old.headersSealed}::bytea
            RETURNING 1
          `.pipe(Effect.map((rows) => rows.length > 0), PersistenceError.refail("SealedStore.replace"))
      })
    })
  )
}
