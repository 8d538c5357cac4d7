/** How an endpoint is doing, from what was delivered to it and from the checks in between. */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { ErrorClass } from "./DeliveryError.ts"
import { Webhook } from "./Webhook.ts"

/** What a ping found. It is no delivery: it counts neither as a success nor as a failure of one. */
export const CheckResult = Schema.Literal("healthy", "unhealthy")
export type CheckResult = typeof CheckResult.Type

const Moment = Schema.NullOr(Schema.DateTimeUtcFromSelf)

/** A webhook with what is known of its endpoint. */
export const Watched = Schema.Struct({
  ...Webhook.fields,
  /** Since when every attempt has failed; null where the latest one succeeded. */
  failingSince: Moment,
  /** Until when nothing is sent, or its probe is under way; null while the circuit is closed. */
  circuitUntil: Moment,
  /** When AutoHealing looks at it next; null unless it was switched off for failures. */
  healAt: Moment,
  lastCheckAt: Moment,
  lastCheckResult: Schema.NullOr(CheckResult),
  lastCheckErrorClass: Schema.NullOr(ErrorClass),
  /** When the certificate that it showed last ends. */
  certificateExpiresAt: Moment
})
export interface Watched extends Schema.Schema.Type<typeof Watched> {}

export const HealthStatus = Schema.Literal("healthy", "failing", "inactive", "unknown")
export type HealthStatus = typeof HealthStatus.Type

/** The latest word counts, be it of a delivery or of a check. `unknown` until anything was sent. */
export const statusOf = (webhook: Watched): HealthStatus => {
  if (!webhook.isActive) return "inactive"
  if (webhook.failureCount > 0) return "failing"
  const { lastCheckAt, lastCheckResult, lastSuccessfulDeliveryAt } = webhook
  const isCheckLatest = lastCheckAt !== null &&
    (lastSuccessfulDeliveryAt === null || DateTime.greaterThan(lastCheckAt, lastSuccessfulDeliveryAt))
  if (isCheckLatest) return lastCheckResult === "unhealthy" ? "failing" : "healthy"
  return lastSuccessfulDeliveryAt === null ? "unknown" : "healthy"
}
