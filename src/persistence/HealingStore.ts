/**
 * Webhooks that were switched off for failures: whose turn it is to be looked at, those that are back, and those that say
 * that they are gone. The time until which a look may take names it, as a lease does, so whoever slept through it changes nothing.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { reactivatedType } from "../domain/EventType.ts"
import { toUuid } from "../domain/Ids.ts"
import { gone, goneAfter } from "./GoneNotice.ts"
import { PingTarget, pingTarget } from "./HealthStore.ts"
import { PersistenceError } from "./Postgres.ts"

const Patient = Schema.Struct({
  ...PingTarget.fields,
  /** How often it was looked at since it was switched off, this time included. */
  looks: Schema.Int,
  /** What names this look. */
  token: Schema.String
})
export type Patient = typeof Patient.Type

/** Longer than any ping may take; where a node ends during one, the next look comes then. */
const lookSeconds = 60

const activeBefore = "{\"deactivation_reason\": \"failures\", \"is_active\": false}"
const activeAfter = "{\"deactivation_reason\": null, \"is_active\": true}"
const goneMessage =
  "Pinged after its failures, the endpoint answered 410 Gone, so it is not pinged any more. Switch the webhook on if that was a mistake."
const reactivatedMessage =
  "The endpoint answers again, so the webhook was switched on. What waited for it is sent step by step, the oldest first."

const take = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Int,
    Result: Patient,
    execute: (most) =>
      sql`
        WITH due AS (
          SELECT id FROM webhooks
          WHERE heal_at <= now() AND deactivation_reason = 'failures' AND deleted_at IS NULL
          ORDER BY heal_at LIMIT ${most} FOR NO KEY UPDATE SKIP LOCKED
        )
        UPDATE webhooks w SET
          heal_at = now() + make_interval(secs => ${lookSeconds}), healing_attempts = w.healing_attempts + 1
        FROM due WHERE w.id = due.id
        RETURNING ${sql.literal(pingTarget)}, w.healing_attempts AS looks, w.heal_at::text AS token
      `
  })

/** It begins anew, and its backlog is let out step by step. */
const reactivate = (sql: SqlClient.SqlClient, { clientId, id, token }: Patient) =>
  sql`
    WITH healed AS (
      UPDATE webhooks SET
        is_active = true, deactivation_reason = NULL, deactivated_at = NULL, heal_at = NULL, healing_attempts = 0,
        failure_count = 0, failing_since = NULL, last_error_class = NULL,
        circuit = 'closed', circuit_until = NULL, circuit_openings = 0, circuit_ramp = 1, circuit_ramp_successes = 0,
        circuit_version = circuit_version + 1,
        window_attempts = 0, window_failures = 0, window_duration_ms = 0, updated_at = now()
      WHERE id = ${toUuid(id)} AND client_id = ${clientId} AND heal_at = ${token}::timestamptz
        AND deactivation_reason = 'failures' AND deleted_at IS NULL
      RETURNING id, client_id
    ), audited AS (
      INSERT INTO audit_log (client_id, action, resource, resource_id, role, before, after)
      SELECT client_id, 'webhook.reactivated', 'webhook', id, 'system', ${activeBefore}, ${activeAfter} FROM healed
    )
    SELECT
      resolve_alerts(id, ARRAY['webhook_deactivated', 'consecutive_failures', 'certificate_error']),
      raise_alert(client_id, id, 'webhook_reactivated', 'info', ${reactivatedMessage}::text, ${activeAfter}::jsonb),
      put_notice(client_id, ${reactivatedType}::text, id, jsonb_build_object(
        'webhook_id', typeid('whk', id), 'message', ${reactivatedMessage}::text))
    FROM healed
  `.pipe(Effect.map((rows) => rows.length > 0))

/** From now on it is off for what its receiver said, and no more for what it did: nobody looks at it again. */
const giveUp = (sql: SqlClient.SqlClient, { clientId, id, token }: Patient) =>
  sql`
    WITH gone AS (
      UPDATE webhooks SET deactivation_reason = 'gone', heal_at = NULL, healing_attempts = 0, updated_at = now()
      WHERE id = ${toUuid(id)} AND client_id = ${clientId} AND heal_at = ${token}::timestamptz
        AND deactivation_reason = 'failures' AND deleted_at IS NULL
      RETURNING id, client_id
    ), audited AS (
      INSERT INTO audit_log (client_id, action, resource, resource_id, role, before, after)
      SELECT client_id, 'webhook.deactivated', 'webhook', id, 'system', ${activeBefore}, ${goneAfter} FROM gone
    )
    ${gone(sql, sql`SELECT id, client_id FROM gone`, goneMessage)}
  `.pipe(Effect.map((rows) => rows.length > 0))

export class HealingStore extends Context.Tag("deeper-hub-webhooks/persistence/HealingStore")<HealingStore, {
  /** At most so many whose turn it is. Nobody else takes them up for a minute, or until `postpone` says. */
  readonly take: (most: number) => Effect.Effect<ReadonlyArray<Patient>, PersistenceError>
  /** The look was in vain: the next comes so many milliseconds from now. */
  readonly postpone: (patient: Patient, pauseMs: number) => Effect.Effect<void, PersistenceError>
  /** Switches it on and tells its client; false where somebody else decided on it meanwhile. */
  readonly reactivate: (patient: Patient) => Effect.Effect<boolean, PersistenceError>
  /** It is gone, and looked at no more; false where somebody else decided on it meanwhile. */
  readonly giveUp: (patient: Patient) => Effect.Effect<boolean, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const takeDue = take(sql)
      return HealingStore.of({
        take: (most) => takeDue(most).pipe(PersistenceError.refail("HealingStore.take")),
        postpone: ({ clientId, id, token }, pauseMs) =>
          sql`
            UPDATE webhooks SET heal_at = now() + ${pauseMs}::float8 * interval '1 millisecond'
            WHERE id = ${toUuid(id)} AND client_id = ${clientId} AND heal_at = ${token}::timestamptz
          `.pipe(Effect.asVoid, PersistenceError.refail("HealingStore.postpone")),
        reactivate: (patient) => reactivate(sql, patient).pipe(PersistenceError.refail("HealingStore.reactivate")),
        giveUp: (patient) => giveUp(sql, patient).pipe(PersistenceError.refail("HealingStore.giveUp"))
      })
    })
  )
}
