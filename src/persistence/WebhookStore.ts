/** Registered webhooks and their subscriptions. Every statement names the tenants it may touch. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Reach } from "../domain/Client.ts"
import { type EventTypeName, Subscription, subscriptionsTo } from "../domain/EventType.ts"
import { toUuid, type WebhookId } from "../domain/Ids.ts"
import * as Page from "../domain/Page.ts"
import { Webhook } from "../domain/Webhook.ts"
import { Timestamp, WebhookUuid } from "./Columns.ts"
import { PersistenceError, transaction } from "./Postgres.ts"

export const WebhookRow = Schema.Struct({
  ...Webhook.fields,
  id: WebhookUuid,
  lastSuccessfulDeliveryAt: Schema.NullOr(Timestamp),
  lastFailureAt: Schema.NullOr(Timestamp),
  secretExpiresAt: Schema.NullOr(Timestamp),
  previousSecretExpiresAt: Schema.NullOr(Timestamp),
  createdAt: Timestamp,
  updatedAt: Timestamp
})

export const Sealed = Schema.NullOr(Schema.Uint8ArrayFromSelf)

/** What the service decides of a webhook. The sealed columns are ciphertext. */
const Definition = Schema.Struct({
  ...WebhookRow.pick(
    "id",
    "clientId",
    "name",
    "description",
    "url",
    "events",
    "headerNames",
    "signatures",
    "isActive",
    "deactivationReason",
    "retryCount",
    "timeoutMs",
    "secretExpiresAt",
    "previousSecretExpiresAt"
  ).fields,
  headersSealed: Sealed,
  secretSealed: Sealed,
  previousSecretSealed: Sealed
})
export type Definition = typeof Definition.Type

/** A webhook with what it takes to send to it. */
const SealedWebhook = Schema.Struct({
  ...WebhookRow.fields,
  headersSealed: Sealed,
  secretSealed: Sealed,
  previousSecretSealed: Sealed,
  /** When it was read, by the database's clock. */
  readAt: Timestamp
})
export type SealedWebhook = typeof SealedWebhook.Type

export interface Modified {
  readonly before: Webhook
  readonly after: Webhook
}

const WebhookKey = Schema.Struct({ ...Reach.fields, id: WebhookUuid })

const ListRequest = Schema.Struct({
  ...Reach.fields,
  isActive: Schema.NullOr(Schema.Boolean),
  patterns: Schema.NullOr(Schema.Array(Subscription)),
  after: Schema.NullOr(Schema.String),
  rows: Schema.Int
})

export interface WebhookFilter {
  readonly isActive: boolean | null
  /** Only webhooks that an event of this type would reach. */
  readonly eventType: EventTypeName | null
}

const insert = (sql: SqlClient.SqlClient) =>
  SqlSchema.single({
    Request: Definition,
    Result: WebhookRow,
    execute: (w) =>
      sql`
        WITH created AS (
          INSERT INTO webhooks (
            id, client_id, name, description, url, events, header_names, headers_sealed, secret_sealed,
            secret_expires_at, previous_secret_sealed, previous_secret_expires_at, signatures, is_active,
            deactivation_reason, retry_count, timeout_ms)
          VALUES (
            ${w.id}, ${w.clientId}, ${w.name}, ${w.description}, ${w.url}, ${w.events}, ${w.headerNames},
            ${w.headersSealed}, ${w.secretSealed}, ${w.secretExpiresAt}, ${w.previousSecretSealed},
            ${w.previousSecretExpiresAt}, ${w.signatures}, ${w.isActive},
            ${w.deactivationReason}, ${w.retryCount}, ${w.timeoutMs})
          RETURNING *
        ), subscribed AS (
          INSERT INTO subscriptions (client_id, pattern, webhook_id)
          SELECT DISTINCT client_id, pattern, id FROM created, unnest(events) AS pattern
        )
        SELECT * FROM created
      `
  })

/** Switched on, or given another URL, an endpoint begins anew: what was known of it is forgotten, and its ramp is at one. */
const update = (sql: SqlClient.SqlClient) =>
  SqlSchema.single({
    Request: Definition,
    Result: WebhookRow,
    execute: (w) =>
      sql`
        WITH forgotten AS (
          DELETE FROM subscriptions
          WHERE client_id = ${w.clientId} AND webhook_id = ${w.id} AND pattern <> ALL(${w.events})
        ), subscribed AS (
          INSERT INTO subscriptions (client_id, pattern, webhook_id)
          SELECT ${w.clientId}, pattern, ${w.id} FROM unnest(${w.events}::text[]) AS pattern
          ON CONFLICT DO NOTHING
        )
        UPDATE webhooks SET
          name = ${w.name}, description = ${w.description}, url = ${w.url}, events = ${w.events},
          header_names = ${w.headerNames}, headers_sealed = ${w.headersSealed},
          secret_sealed = ${w.secretSealed}, secret_expires_at = ${w.secretExpiresAt},
          previous_secret_sealed = ${w.previousSecretSealed},
          previous_secret_expires_at = ${w.previousSecretExpiresAt},
          signatures = ${w.signatures}, is_active = ${w.isActive},
          deactivation_reason = ${w.deactivationReason}, retry_count = ${w.retryCount},
          timeout_ms = ${w.timeoutMs}, updated_at = now(),
          deactivated_at = CASE WHEN ${w.isActive} THEN NULL WHEN is_active THEN now() ELSE deactivated_at END,
          (failure_count, failing_since, circuit, circuit_until, circuit_openings, circuit_ramp,
            circuit_ramp_successes, circuit_version, window_attempts, window_failures, window_duration_ms, healing_attempts, heal_at,
            last_error_class, certificate_expires_at
          ) = (
            SELECT CASE WHEN anew THEN 0 ELSE failure_count END, CASE WHEN NOT anew THEN failing_since END,
              CASE WHEN anew THEN 'closed' ELSE circuit END, CASE WHEN NOT anew THEN circuit_until END,
              CASE WHEN anew THEN 0 ELSE circuit_openings END, CASE WHEN anew THEN 1 ELSE circuit_ramp END,
              CASE WHEN anew THEN 0 ELSE circuit_ramp_successes END, circuit_version + anew::int, CASE WHEN anew THEN 0 ELSE window_attempts END,
              CASE WHEN anew THEN 0 ELSE window_failures END, CASE WHEN anew THEN 0 ELSE window_duration_ms END,
              CASE WHEN anew THEN 0 ELSE healing_attempts END,
              CASE WHEN ${w.deactivationReason}::text = 'failures' THEN CASE WHEN anew THEN now() ELSE heal_at END END,
              CASE WHEN NOT anew THEN last_error_class END, CASE WHEN url = ${w.url} THEN certificate_expires_at END
            FROM (SELECT (${w.isActive} AND NOT is_active) OR url <> ${w.url} AS anew) a
          )
        WHERE id = ${w.id} AND client_id = ${w.clientId}
        RETURNING *
      `
  })

/** `FOR UPDATE` where a change follows, so that two changes at once follow one another. */
const find = (sql: SqlClient.SqlClient, lock: "" | "FOR UPDATE") =>
  SqlSchema.findOne({
    Request: WebhookKey,
    Result: SealedWebhook,
    execute: ({ id, only }) =>
      sql`
        SELECT *, now() AS read_at FROM webhooks
        WHERE id = ${id} AND (${only}::text IS NULL OR client_id = ${only}) AND deleted_at IS NULL
        ${sql.literal(lock)}
      `
  })

const list = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: ListRequest,
    Result: WebhookRow,
    execute: ({ after, isActive, only, patterns, rows }) =>
      sql`
        SELECT * FROM webhooks
        WHERE (${only}::text IS NULL OR client_id = ${only}) AND deleted_at IS NULL
          AND (${isActive}::boolean IS NULL OR is_active = ${isActive})
          AND (${patterns}::text[] IS NULL OR events && ${patterns})
          AND (${after}::uuid IS NULL OR id < ${after})
        ORDER BY id DESC LIMIT ${rows}
      `
  })

const remove = (sql: SqlClient.SqlClient) =>
  SqlSchema.findOne({
    Request: WebhookKey,
    Result: WebhookRow,
    execute: ({ id, only }) =>
      sql`
        WITH removed AS (
          UPDATE webhooks SET
            deleted_at = now(), updated_at = now(), secret_sealed = NULL, headers_sealed = NULL,
            previous_secret_sealed = NULL, previous_secret_expires_at = NULL
          WHERE id = ${id} AND (${only}::text IS NULL OR client_id = ${only}) AND deleted_at IS NULL
          RETURNING *
        ), unsubscribed AS (
          DELETE FROM subscriptions s USING removed r WHERE s.client_id = r.client_id AND s.webhook_id = r.id
        )
        SELECT * FROM removed
      `
  })

/** Rows of one statement, so that none holds many webhooks locked. */
const sweepMax = 500

export class WebhookStore extends Context.Tag("deeper-hub-webhooks/persistence/WebhookStore")<WebhookStore, {
  readonly insert: (definition: Definition) => Effect.Effect<Webhook, PersistenceError>
  readonly find: (reach: Reach, id: WebhookId) => Effect.Effect<Option.Option<SealedWebhook>, PersistenceError>
  readonly list: (
    reach: Reach,
    filter: WebhookFilter,
    page: Page.PageRequest
  ) => Effect.Effect<Page.Page<Webhook>, PersistenceError>
  /**
   * Reads the webhook under a row lock, lets `change` decide, and writes what it answers, so that two changes at once
   * follow one another. Answers the webhook as it was and as it is; none where there is no such webhook.
   */
  readonly modify: <E, R>(
    reach: Reach,
    id: WebhookId,
    change: (webhook: SealedWebhook) => Effect.Effect<Definition, E, R>
  ) => Effect.Effect<Option.Option<Modified>, PersistenceError | E, R>
  /** Forgets previous secrets whose time is over. */
  readonly expirePreviousSecrets: Effect.Effect<void, PersistenceError>
  /** Ends the webhook and forgets its secrets; its deliveries stay on record. None where there is no such webhook. */
  readonly remove: (reach: Reach, id: WebhookId) => Effect.Effect<Option.Option<Webhook>, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const statements = {
        insert: insert(sql),
        update: update(sql),
        find: find(sql, ""),
        lock: find(sql, "FOR UPDATE"),
        list: list(sql),
        remove: remove(sql)
      }
      return WebhookStore.of({
        insert: (definition) =>
          statements.insert(definition).pipe(
            Effect.catchTag("NoSuchElementException", Effect.die),
            PersistenceError.refail("WebhookStore.insert")
          ),
        find: (reach, id) => statements.find({ ...reach, id }).pipe(PersistenceError.refail("WebhookStore.find")),
        list: (reach, { eventType, isActive }, page) =>
          statements.list({
            ...reach,
            isActive,
            patterns: eventType === null ? null : subscriptionsTo(eventType),
            after: page.after,
            rows: page.limit + 1
          }).pipe(
            Effect.map((rows) => Page.fromRows(rows, page, (webhook) => toUuid(webhook.id))),
            PersistenceError.refail("WebhookStore.list")
          ),
        modify: (reach, id, change) =>
          statements.lock({ ...reach, id }).pipe(
            PersistenceError.refail("WebhookStore.lock"),
            Effect.flatMap(Option.match({
              onNone: () => Effect.succeedNone,
              onSome: (webhook) =>
                Effect.flatMap(change(webhook), (definition) =>
                  statements.update(definition).pipe(
                    Effect.catchTag("NoSuchElementException", Effect.die),
                    Effect.map((after) => Option.some({ before: webhook, after })),
                    PersistenceError.refail("WebhookStore.update")
                  ))
            })),
            transaction(sql),
            PersistenceError.refail("WebhookStore.modify")
          ),
        expirePreviousSecrets: sql`
          UPDATE webhooks SET previous_secret_sealed = NULL, previous_secret_expires_at = NULL
          WHERE id = ANY(ARRAY(
            SELECT id FROM webhooks WHERE previous_secret_expires_at <= now()
            LIMIT ${sweepMax} FOR UPDATE SKIP LOCKED))
          RETURNING 1
        `.pipe(
          Effect.repeat({ while: (expired) => expired.length === sweepMax }),
          Effect.asVoid,
          PersistenceError.refail("WebhookStore.expirePreviousSecrets")
        ),
        remove: (reach, id) => statements.remove({ ...reach, id }).pipe(PersistenceError.refail("WebhookStore.remove"))
      })
    })
  )
}
