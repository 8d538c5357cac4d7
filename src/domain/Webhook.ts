/** A registered endpoint: where to deliver, what, with which headers and secret, and how it has been doing. */
import * as Schema from "effect/Schema"
import { CircuitState } from "./Circuit.ts"
import { Subscription } from "./EventType.ts"
import { ClientId, WebhookId } from "./Ids.ts"
import { SignatureScheme } from "./SignatureScheme.ts"
import { Text } from "./Text.ts"

/** Who or what switched a webhook off: its owner, a receiver that answered 410 Gone, or failures that went on too long. */
export const DeactivationReason = Schema.Literal("owner", "gone", "failures")

/** Stands for the value of a custom header wherever a webhook is read. */
export const maskedValue = "********"

export const WebhookName = Text.pipe(Schema.trimmed(), Schema.minLength(1), Schema.maxLength(120))
export const WebhookDescription = Text.pipe(Schema.maxLength(1_000))
export const Subscriptions = Schema.Array(Subscription).pipe(Schema.minItems(1), Schema.maxItems(100))
export const RetryCount = Schema.Int.pipe(
  Schema.between(1, 20, {
    description: "Attempts per delivery, the first included.",
    message: () => "expected a whole number from 1 to 20"
  })
)
export const TimeoutMs = Schema.Int.pipe(
  Schema.between(100, 20_000, {
    description: "Milliseconds for one attempt, from the DNS question to the last byte.",
    message: () => "expected a whole number from 100 to 20000"
  })
)
export const SignatureSchemes = Schema.Array(SignatureScheme).pipe(
  Schema.minItems(1),
  Schema.annotations({
    description: "Which signature headers the receiver gets.",
    message: () => `expected one or more of ${SignatureScheme.literals.join(", ")}`
  })
)

export const Webhook = Schema.Struct({
  id: WebhookId,
  clientId: ClientId,
  name: Schema.NullOr(Schema.String),
  description: Schema.NullOr(Schema.String),
  url: Schema.String,
  events: Schema.Array(Subscription),
  /** Names of the custom headers; their values are encrypted at rest and never read back. */
  headerNames: Schema.Array(Schema.String),
  signatures: Schema.Array(SignatureScheme),
  isActive: Schema.Boolean,
  deactivationReason: Schema.NullOr(DeactivationReason),
  /** Failed attempts in a row; a success sets it to 0. */
  failureCount: Schema.Int,
  circuit: CircuitState,
  retryCount: Schema.Int,
  timeoutMs: Schema.Int,
  lastSuccessfulDeliveryAt: Schema.NullOr(Schema.DateTimeUtcFromSelf),
  lastFailureAt: Schema.NullOr(Schema.DateTimeUtcFromSelf),
  secretExpiresAt: Schema.NullOr(Schema.DateTimeUtcFromSelf),
  /** Until when the secret before the present one signs too; null where there is none. */
  previousSecretExpiresAt: Schema.NullOr(Schema.DateTimeUtcFromSelf),
  createdAt: Schema.DateTimeUtcFromSelf,
  updatedAt: Schema.DateTimeUtcFromSelf
})
export interface Webhook extends Schema.Schema.Type<typeof Webhook> {}
