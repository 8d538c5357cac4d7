/** Checks of endpoints: which are due, what they found, and how an endpoint is doing. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Reach } from "../domain/Client.ts"
import type { ErrorClass } from "../domain/DeliveryError.ts"
import { type CheckResult, Watched } from "../domain/Health.ts"
import { toUuid, type WebhookId } from "../domain/Ids.ts"
import { Timestamp, WebhookUuid } from "./Columns.ts"
import { PersistenceError } from "./Postgres.ts"
import { Sealed, WebhookRow } from "./WebhookStore.ts"

/** A webhook with what it takes to ping it. The sealed columns are ciphertext. */
export const PingTarget = Schema.Struct({
  ...WebhookRow.pick("id", "clientId", "url", "signatures", "timeoutMs").fields,
  secretSealed: Sealed,
  /** Null where only the present secret signs. */
  previousSecretSealed: Sealed,
  headersSealed: Sealed
})
export type PingTarget = typeof PingTarget.Type

/** Its columns, of the webhook `w`. */
export const pingTarget = `
  w.id, w.client_id, w.url, w.signatures, w.timeout_ms, w.secret_sealed, w.headers_sealed,
  CASE WHEN w.previous_secret_expires_at > now() THEN w.previous_secret_sealed END AS previous_secret_sealed`

const WatchedRow = Schema.Struct({
  ...Watched.fields,
  ...WebhookRow.fields,
  failingSince: Schema.NullOr(Timestamp),
  circuitUntil: Schema.NullOr(Timestamp),
  healAt: Schema.NullOr(Timestamp),
  lastCheckAt: Schema.NullOr(Timestamp),
  certificateExpiresAt: Schema.NullOr(Timestamp)
})

/** What a ping found. */
export interface Check {
  readonly target: Pick<PingTarget, "clientId" | "id" | "url">
  readonly result: CheckResult
  readonly errorClass: ErrorClass | null
  /** Unix milliseconds; null where no certificate was seen. */
  readonly certificateExpiresAt: number | null
}

export interface DueRequest {
  readonly intervalMs: number
  readonly most: number
}

/** Of the webhooks whose time had come: how many, and those that are to be pinged. */
export interface Due {
  readonly looked: number
  readonly targets: ReadonlyArray<PingTarget>
}

const find = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: Schema.Struct({ ...Reach.fields, id: WebhookUuid }),
    Result: WatchedRow,
    execute: ({ id, only }) =>
      sql`
        SELECT * FROM webhooks
        WHERE id = ${id} AND (${only}::text IS NULL OR client_id = ${only}) AND deleted_at IS NULL
      `
  })

/**
 * Each webhook comes up once an interval, and is pinged if it heard nothing from us for as long: traffic tells more than
 * a ping, and a circuit that is not closed has probes of its own. Whoever takes one up moves it on first, so no two nodes
 * ping it at once.
 */
const takeDue = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({ intervalMs: Schema.Number, most: Schema.Int }),
    Result: Schema.Struct({ ...PingTarget.fields, isWanted: Schema.Boolean }),
    execute: ({ intervalMs, most }) =>
      sql`
        WITH due AS (
          SELECT id, greatest(created_at, last_successful_delivery_at, last_failure_at, last_check_at) AS seen_at
          FROM webhooks WHERE check_at <= now() AND is_active AND deleted_at IS NULL
          ORDER BY check_at LIMIT ${most} FOR NO KEY UPDATE SKIP LOCKED
        ), moved AS (
          UPDATE webhooks w SET check_at = CASE
            -- Spread, so that what was registered together is not pinged together for ever.
            WHEN d.is_quiet THEN now() + (1 + 0.2 * random()) * d.pause
            ELSE d.seen_at + d.pause END
          FROM (
            SELECT due.*, p.pause, seen_at <= now() - p.pause AS is_quiet
            FROM due, (SELECT ${intervalMs}::float8 * interval '1 millisecond' AS pause) p
          ) d
          WHERE w.id = d.id
          RETURNING ${sql.literal(pingTarget)}, d.is_quiet AND w.circuit = 'closed' AS is_wanted
        )
        SELECT * FROM moved
      `
  })

export class HealthStore extends Context.Tag("deeper-hub-webhooks/persistence/HealthStore")<HealthStore, {
  readonly find: (reach: Reach, id: WebhookId) => Effect.Effect<Option.Option<Watched>, PersistenceError>
  /** Webhooks whose next check is due; each is taken once. */
  readonly takeDue: (request: DueRequest) => Effect.Effect<Due, PersistenceError>
  /** Writes what a ping found, unless the webhook has another URL by now. */
  readonly record: (check: Check) => Effect.Effect<void, PersistenceError>
  /**
   * The owner saw the endpoint answer: an open circuit may try now, and AutoHealing looks now. False where neither was
   * waiting.
   */
  readonly answered: (target: Pick<PingTarget, "clientId" | "id">) => Effect.Effect<boolean, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const statements = { find: find(sql), takeDue: takeDue(sql) }
      return HealthStore.of({
        find: (reach, id) => statements.find({ ...reach, id }).pipe(PersistenceError.refail("HealthStore.find")),
        takeDue: (request) =>
          statements.takeDue(request).pipe(
            Effect.map((rows) => ({ looked: rows.length, targets: rows.filter(({ isWanted }) => isWanted) })),
            PersistenceError.refail("HealthStore.takeDue")
          ),
        record: ({ certificateExpiresAt, errorClass, result, target }) =>
          sql`
            UPDATE webhooks SET
              last_check_at = now(), last_check_result = ${result}, last_check_error_class = ${errorClass},
              certificate_expires_at =
                coalesce(to_timestamp(${certificateExpiresAt}::float8 / 1000), certificate_expires_at)
            WHERE id = ${toUuid(target.id)} AND client_id = ${target.clientId} AND url = ${target.url}
          `.pipe(Effect.asVoid, PersistenceError.refail("HealthStore.record")),
        answered: ({ clientId, id }) =>
          sql`
            UPDATE webhooks SET
              circuit_until = CASE WHEN circuit = 'open' THEN least(circuit_until, now()) ELSE circuit_until END,
              heal_at = CASE WHEN deactivation_reason = 'failures' THEN now() END
            WHERE id = ${toUuid(id)} AND client_id = ${clientId} AND deleted_at IS NULL
              AND (circuit = 'open' OR deactivation_reason = 'failures')
            RETURNING 1
          `.pipe(Effect.map((rows) => rows.length > 0), PersistenceError.refail("HealthStore.answered"))
      })
    })
  )
}
