/**
 * What follows from how endpoints are doing: webhooks that are switched off, and alerts that open and close by
 * themselves. Each round is a few statements over all webhooks that an index says are worth a look.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlSchema from "@effect/sql/SqlSchema"
import type { Fragment } from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { sumAll } from "effect/Number"
import * as Schema from "effect/Schema"
import { consecutiveFailuresMax } from "../domain/Circuit.ts"
import { deactivatedType } from "../domain/EventType.ts"
import { ClientId } from "../domain/Ids.ts"
import { WebhookUuid } from "./Columns.ts"
import { PersistenceError } from "./Postgres.ts"

export interface DeactivationRule {
  /** Attempts in a row that failed, and for how long at least. */
  readonly failureThreshold: number
  readonly minFailingMinutes: number
}

export interface AlertRules {
  /** Of an endpoint's attempts in a minute, on the average. */
  readonly latencyMs: number
  /** How long before its end a certificate, or a secret, is worth an alert. */
  readonly certificateDays: number
  readonly secretDays: number
}

const Deactivated = Schema.Struct({
  webhookId: WebhookUuid,
  clientId: ClientId,
  failureCount: Schema.Int,
  failingMinutes: Schema.Int
})
export type Deactivated = typeof Deactivated.Type

/** Rows of one statement, so that none holds many webhooks locked. */
const statementMax = 200

/**
 * Alerts that are raised at once, and the pause before the next: each is several rows, and when many endpoints fail together
 * the database has deliveries to see to.
 */
const alertsMax = 10
const alertsPause = "100 millis"

/** An alert about slowness is over when it is clearly over. */
const calmShare = 0.75

const activeBefore = "{\"deactivation_reason\": null, \"is_active\": true}"
const failuresAfter = "{\"deactivation_reason\": \"failures\", \"is_active\": false}"

const deactivate = (sql: SqlClient.SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({
      failureThreshold: Schema.Int,
      minFailingMinutes: Schema.Int,
      healMs: Schema.Number
    }),
    Result: Deactivated,
    execute: ({ failureThreshold, healMs, minFailingMinutes }) =>
      sql`
        WITH failing AS (
          SELECT id FROM webhooks
          WHERE failing_since <= now() - make_interval(mins => ${minFailingMinutes})
            AND failure_count >= ${failureThreshold} AND is_active AND deleted_at IS NULL
          ORDER BY failing_since LIMIT ${statementMax} FOR NO KEY UPDATE SKIP LOCKED
        ), deactivated AS (
          UPDATE webhooks w SET
            is_active = false, deactivation_reason = 'failures', deactivated_at = now(), updated_at = now(),
            healing_attempts = 0, heal_at = now() + ${healMs}::float8 * interval '1 millisecond'
          FROM failing f WHERE w.id = f.id
          RETURNING w.id, w.client_id, w.failure_count, w.failing_since, w.last_error_class,
            (extract(epoch FROM now() - w.failing_since) / 60)::int AS failing_minutes
        ), audited AS (
          INSERT INTO audit_log (client_id, action, resource, resource_id, role, before, after)
          SELECT client_id, 'webhook.deactivated', 'webhook', id, 'system', ${activeBefore}, ${failuresAfter}
          FROM deactivated
        ), said AS (
          SELECT *, format(
            'For %s minutes every attempt failed, %s in a row, the last one with %s, so the webhook was switched off. ' ||
            'What is published for it waits. It is pinged now and then, and switched on when it answers.',
            failing_minutes, failure_count, last_error_class) AS message,
            jsonb_build_object('failure_count', failure_count, 'failing_since', iso(failing_since),
              'error_class', last_error_class, 'deactivation_reason', 'failures') AS facts
          FROM deactivated
        ), told AS (
          SELECT raise_alert(client_id, id, 'webhook_deactivated', 'critical', message, facts),
            put_notice(client_id, ${deactivatedType}::text, id,
              facts || jsonb_build_object('webhook_id', typeid('whk', id), 'message', message))
          FROM said
        )
        SELECT id AS webhook_id, client_id, failure_count, failing_minutes, (SELECT count(*) FROM told) FROM deactivated
      `
  })

interface Reason {
  readonly kind: string
  /** Of the webhook `w`; the first of it is the predicate of an index. */
  readonly when: Fragment
  readonly severity: Fragment
  readonly message: Fragment
  readonly facts: Fragment
}

/** Opens the alerts that are not open yet; answers of how many webhooks. */
const raise = (sql: SqlClient.SqlClient, reason: Reason): Effect.Effect<number, SqlError> =>
  Effect.flatMap(
    raiseSome(sql, reason),
    ({ length }) =>
      length < alertsMax
        ? Effect.succeed(length)
        : Effect.map(Effect.delay(raise(sql, reason), alertsPause), (more) => length + more)
  )

const raiseSome = (sql: SqlClient.SqlClient, { facts, kind, message, severity, when }: Reason) =>
  sql`
    SELECT open_alert(w.client_id, w.id, ${kind}, ${severity}, ${message}, ${facts})
    FROM (
      SELECT w.* FROM webhooks w
      WHERE ${when} AND w.deleted_at IS NULL AND NOT EXISTS (
        SELECT FROM alerts a
        WHERE a.webhook_id = w.id AND a.client_id = w.client_id AND a.kind = ${kind} AND a.severity = ${severity}
          AND a.resolved_at IS NULL)
      LIMIT ${alertsMax} FOR NO KEY UPDATE OF w SKIP LOCKED
    ) w
  `

/** Of what endpoints do now. */
const ofConduct = (sql: SqlClient.SqlClient, { latencyMs }: AlertRules): ReadonlyArray<Reason> => [
  {
    kind: "consecutive_failures",
    when: sql`w.failing_since IS NOT NULL AND w.is_active
      AND (w.failure_count >= ${consecutiveFailuresMax} OR w.circuit <> 'closed')`,
    severity: sql`'warning'`,
    message:
      sql`format('The endpoint is failing: %s in a row, the last one with %s.', w.failure_count, w.last_error_class)`,
    facts: sql`jsonb_build_object('failure_count', w.failure_count, 'failing_since', iso(w.failing_since),
      'error_class', w.last_error_class, 'circuit', w.circuit)`
  },
  {
    kind: "certificate_error",
    when: sql`w.failing_since IS NOT NULL AND w.is_active AND w.last_error_class LIKE 'tls\\_%'`,
    severity: sql`'critical'`,
    message:
      sql`format('No secure connection to the endpoint can be made (%s); nothing is delivered until it is mended.',
      w.last_error_class)`,
    facts: sql`jsonb_build_object('error_class', w.last_error_class, 'failing_since', iso(w.failing_since))`
  },
  {
    kind: "high_latency",
    when: sql`w.is_slow AND w.is_active AND w.window_duration_ms >= ${latencyMs}::bigint * w.window_attempts`,
    severity: sql`'warning'`,
    message: sql`format('The endpoint takes %s ms on the average; answer first, and work afterwards.',
      w.window_duration_ms / w.window_attempts)`,
    facts: sql`jsonb_build_object('latency_ms', w.window_duration_ms / w.window_attempts, 'attempts', w.window_attempts,
      'threshold_ms', ${latencyMs}::int)`
  }
]

/** Of what ends on a day that is known. */
const ofExpiry = (sql: SqlClient.SqlClient, rules: AlertRules): ReadonlyArray<Reason> =>
  ([
    ["certificate_expiring", "The endpoint's certificate", sql`w.certificate_expires_at`, rules.certificateDays],
    ["secret_expiring", "The webhook's secret", sql`w.secret_expires_at`, rules.secretDays]
  ] as const).map(([kind, what, at, days]) => ({
    kind,
    when: sql`${at} <= now() + make_interval(days => ${days}) AND w.is_active`,
    severity: sql`CASE WHEN ${at} <= now() THEN 'critical' ELSE 'warning' END`,
    message: sql`format(CASE WHEN ${at} <= now() THEN '%s expired on %s.' ELSE '%s expires on %s.' END, ${what}::text,
      to_char(${at} AT TIME ZONE 'UTC', 'YYYY-MM-DD'))`,
    facts: sql`jsonb_build_object('expires_at', iso(${at}))`
  }))

/**
 * Only open alerts are looked at. Of a webhook that was switched off for failures they go on until it is back; its owner
 * needs none of one that he switched off himself.
 */
const resolve = (sql: SqlClient.SqlClient, { certificateDays, latencyMs, secretDays }: AlertRules) =>
  sql`
    UPDATE alerts a SET resolved_at = now()
    FROM webhooks w
    WHERE w.id = a.webhook_id AND w.client_id = a.client_id AND a.resolved_at IS NULL
      AND (w.deleted_at IS NOT NULL OR CASE
        WHEN a.kind = 'delivery_quarantined' THEN false
        WHEN w.deactivation_reason = 'owner' THEN true
        ELSE CASE a.kind
          WHEN 'consecutive_failures' THEN w.failing_since IS NULL
          WHEN 'certificate_error' THEN w.last_error_class IS NULL OR w.last_error_class LIKE 'http\\_%'
          WHEN 'high_latency' THEN w.window_attempts >= 5
            AND w.window_duration_ms < ${latencyMs * calmShare}::float8 * w.window_attempts
          WHEN 'certificate_expiring' THEN coalesce(
            w.certificate_expires_at > now() + make_interval(days => ${certificateDays}), true)
          WHEN 'secret_expiring' THEN coalesce(w.secret_expires_at > now() + make_interval(days => ${secretDays}), true)
          WHEN 'webhook_deactivated' THEN w.is_active
          WHEN 'webhook_reactivated' THEN NOT w.is_active
        END
      END)
  `

export class EndpointStore extends Context.Tag("deeper-hub-webhooks/persistence/EndpointStore")<EndpointStore, {
  /** Switches off what has been failing for too long, and tells its clients; AutoHealing looks first after `healMs`. */
  readonly deactivateFailing: (
    rule: DeactivationRule & { readonly healMs: number }
  ) => Effect.Effect<ReadonlyArray<Deactivated>, PersistenceError>
  /**
   * Opens alerts about endpoints that fail or are slow, and closes those of any kind whose cause is gone. Answers how many
   * it opened.
   */
  readonly judgeConduct: (rules: AlertRules) => Effect.Effect<number, PersistenceError>
  /** Opens alerts about certificates and secrets that expire; answers how many. */
  readonly judgeExpiry: (rules: AlertRules) => Effect.Effect<number, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const deactivateSome = deactivate(sql)
      const raiseAll = (reasons: ReadonlyArray<Reason>) =>
        Effect.map(Effect.forEach(reasons, (reason) => raise(sql, reason)), sumAll)
      return EndpointStore.of({
        deactivateFailing: (rule) =>
          deactivateSome(rule).pipe(PersistenceError.refail("EndpointStore.deactivateFailing")),
        judgeConduct: (rules) =>
          Effect.zipLeft(raiseAll(ofConduct(sql, rules)), resolve(sql, rules)).pipe(
            PersistenceError.refail("EndpointStore.judgeConduct")
          ),
        judgeExpiry: (rules) =>
          raiseAll(ofExpiry(sql, rules)).pipe(PersistenceError.refail("EndpointStore.judgeExpiry"))
      })
    })
  )
}
