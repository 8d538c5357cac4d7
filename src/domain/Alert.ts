/** What a client is to know of one of its webhooks. While it goes on it is one alert, counted; over, it is resolved. */
import * as Schema from "effect/Schema"
import { AlertId, ClientId, WebhookId } from "./Ids.ts"
import { JsonObject } from "./Json.ts"

export const AlertKind = Schema.Literal(
  "certificate_error",
  "certificate_expiring",
  "consecutive_failures",
  "delivery_quarantined",
  "high_latency",
  "secret_expiring",
  "webhook_deactivated",
  "webhook_reactivated"
)
export type AlertKind = typeof AlertKind.Type

export const Severity = Schema.Literal("info", "warning", "critical")
export type Severity = typeof Severity.Type

/** These tell of a moment: nothing goes on that could end, so they are over once somebody has seen them. */
export const momentaryKinds: ReadonlyArray<AlertKind> = ["delivery_quarantined", "webhook_reactivated"]

export const AlertState = Schema.Literal("open", "resolved")
export type AlertState = typeof AlertState.Type

export const Alert = Schema.Struct({
  id: AlertId,
  clientId: ClientId,
  webhookId: WebhookId,
  kind: AlertKind,
  severity: Severity,
  /** A sentence for people. */
  message: Schema.String,
  /** The facts behind it, for programs. */
  details: JsonObject,
  /** How often it was raised while it was open. */
  occurrences: Schema.Int,
  raisedAt: Schema.DateTimeUtcFromSelf,
  lastRaisedAt: Schema.DateTimeUtcFromSelf,
  acknowledgedAt: Schema.NullOr(Schema.DateTimeUtcFromSelf),
  resolvedAt: Schema.NullOr(Schema.DateTimeUtcFromSelf)
})
export interface Alert extends Schema.Schema.Type<typeof Alert> {}
