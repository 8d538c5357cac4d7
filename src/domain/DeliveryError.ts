/**
 * Why one attempt failed, split by the only question the runtime asks: is it worth trying again?
 */
import * as Schema from "effect/Schema"
import { Exchange } from "./Attempt.ts"

/** Classes of failure that a later attempt may not meet again. */
export const RetryableClass = Schema.Literal(
  "dns_not_found",
  "dns_timeout",
  "blocked_address",
  "connect_refused",
  "connect_timeout",
  "connect_reset",
  "conn_reset",
  "local_resource",
  "tls_expired",
  "tls_not_yet_valid",
  "tls_untrusted",
  "tls_name",
  "tls_handshake",
  "tls_or_reset",
  "response_timeout",
  "headers_too_large",
  "protocol_error",
  "http_3xx",
  "http_408",
  "http_425",
  "http_429",
  "http_5xx",
  "http_unexpected",
  "internal_error",
  "secret_unreadable",
  "interrupted",
  "outcome_unknown"
)
export type RetryableClass = typeof RetryableClass.Type

/** Classes of failure that no later attempt would mend. */
export const PermanentClass = Schema.Literal(
  "http_4xx",
  "http_410",
  "blocked_address",
  "poison",
  "request_invalid",
  "webhook_deleted"
)
export type PermanentClass = typeof PermanentClass.Type

export const ErrorClass = Schema.Union(RetryableClass, PermanentClass)
export type ErrorClass = typeof ErrorClass.Type

/** The attempt failed in a way that may pass: it is tried again while the webhook has attempts left. */
export class RetryableFailure extends Schema.TaggedError<RetryableFailure>()("RetryableFailure", {
  class: RetryableClass,
  /** One sentence for the webhook's owner. */
  message: Schema.String,
  /** Milliseconds that the receiver asked us to wait (`Retry-After`), unclamped; null where it did not. */
  retryAfterMs: Schema.NullOr(Schema.NonNegative),
  exchange: Exchange
}) {}

/** The attempt failed in a way that will not pass: the delivery ends here. */
export class PermanentFailure extends Schema.TaggedError<PermanentFailure>()("PermanentFailure", {
  class: PermanentClass,
  /** One sentence for the webhook's owner. */
  message: Schema.String,
  exchange: Exchange
}) {}

export type DeliveryFailure = RetryableFailure | PermanentFailure

/** Our own trouble, or a process that ended: not the receiver's doing, so it spends no attempt. */
export const isUncharged = (failure: ErrorClass): boolean =>
  failure === "local_resource" || failure === "secret_unreadable" || failure === "interrupted" ||
  failure === "outcome_unknown"
