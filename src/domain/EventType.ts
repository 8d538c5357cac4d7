/**
 * Event types and the subscriptions that match them. A type is a dotted name (`deal.stage_changed`); a subscription is
 * a type, everything below a prefix (`deal.*`), or everything (`*`).
 */
import * as Schema from "effect/Schema"
import { JsonValue } from "./Json.ts"

const segments = "[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*"
const nameLengthMax = 128

export const EventTypeName = Schema.String.pipe(
  Schema.pattern(new RegExp(`^${segments}$`), {
    message: () => "expected a dotted name of letters, digits, '_' and '-', like deal.won"
  }),
  Schema.maxLength(nameLengthMax, { message: () => `expected at most ${nameLengthMax} characters` }),
  Schema.brand("EventTypeName"),
  Schema.annotations({ identifier: "EventTypeName", examples: ["deal.won" as never] })
)
export type EventTypeName = typeof EventTypeName.Type

export const Subscription = Schema.String.pipe(
  Schema.pattern(new RegExp(`^(\\*|${segments}(\\.\\*)?)$`), {
    message: () => "expected an event type (deal.won), a prefix (deal.*) or *"
  }),
  Schema.maxLength(nameLengthMax + 2, { message: () => `expected at most ${nameLengthMax + 2} characters` }),
  Schema.brand("Subscription"),
  Schema.annotations({ identifier: "Subscription", examples: ["deal.*" as never] })
)
export type Subscription = typeof Subscription.Type

/** Every subscription that a type matches: the type itself, each prefix of it, and `*`. */
export const subscriptionsTo = (type: string): ReadonlyArray<Subscription> => {
  const words = type.split(".")
  const prefixes = words.slice(0, -1).map((_, i) => `${words.slice(0, i + 1).join(".")}.*`)
  return ["*", ...prefixes, type].map((subscription) => Subscription.make(subscription, unchecked))
}

/** The subscriptions that a notice of the service's own matches: `*` means what the platform publishes. */
export const noticePatternsOf = (type: string): ReadonlyArray<Subscription> =>
  subscriptionsTo(type).filter((subscription) => subscription !== "*")

// A type that is well formed makes only well-formed subscriptions, and this runs for every event.
const unchecked = { disableValidation: true }

/** Whether any of the subscriptions matches the type. */
export const isSubscribed = (subscriptions: ReadonlyArray<string>, type: string): boolean =>
  subscriptionsTo(type).some((subscription) => subscriptions.includes(subscription))

/** Notices of the service to a client's webhooks, about another of its webhooks. */
export const deactivatedType = EventTypeName.make("webhook.deactivated")
export const reactivatedType = EventTypeName.make("webhook.reactivated")
export const exhaustedType = EventTypeName.make("delivery.exhausted")
export const alertType = EventTypeName.make("alert.raised")

/** Types that are the service's own: it sends them, nobody publishes them. All below `webhook.` are. */
export const isReserved = (type: EventTypeName): boolean =>
  type === "webhook" || type.startsWith("webhook.") || type === exhaustedType || type === alertType

export const pingType = EventTypeName.make("webhook.ping")
export const testType = EventTypeName.make("webhook.test")

/** What the catalogue says of a type. Publishing does not depend on it: a type outside the catalogue is delivered too. */
export const EventType = Schema.Struct({
  name: EventTypeName,
  description: Schema.NullOr(Schema.String),
  /** A payload as a receiver would find it under `data`. */
  example: Schema.NullOr(JsonValue),
  /** JSON Schema of the payload, for receivers to read. */
  schema: Schema.NullOr(JsonValue),
  /** Dotted paths into the payload whose values are redacted before they are stored. */
  sensitivePaths: Schema.Array(Schema.String),
  createdAt: Schema.DateTimeUtcFromSelf,
  updatedAt: Schema.DateTimeUtcFromSelf
})
export interface EventType extends Schema.Schema.Type<typeof EventType> {}
