/** The record of who changed what, or was shown a secret. It is written once and read by those whom it concerns. */
import * as Schema from "effect/Schema"
import { Role } from "./Client.ts"
import { AuditId, ClientId, KeyId } from "./Ids.ts"
import { type Json, JsonObject } from "./Json.ts"

export const AuditAction = Schema.Literal(
  "alert.acknowledged",
  "api_key.created",
  "api_key.revoked",
  "api_key.secret_revealed",
  "client.created",
  "client.updated",
  "delivery.retried",
  "event_type.created",
  "event_type.deleted",
  "event_type.updated",
  "webhook.created",
  "webhook.deactivated",
  "webhook.deleted",
  "webhook.reactivated",
  "webhook.secret_revealed",
  "webhook.secret_rotated",
  "webhook.updated"
)
export type AuditAction = typeof AuditAction.Type

/** A key's role; `system` where the service acted by itself, or its operator at the machine. */
export const ActorRole = Schema.Literal(...Role.literals, "system")

/** Who did it. */
export interface Actor {
  /** Null where no key was involved. */
  readonly keyId: KeyId | null
  readonly role: typeof ActorRole.Type
  /** Where the request came from; null where there was none. */
  readonly address: string | null
}

export const system: Actor = { keyId: null, role: "system", address: null }

/** What was done, to what. Secrets are left out of both sides. */
export const Change = Schema.Struct({
  action: AuditAction,
  /** Whose thing it is; null where it is no client's. */
  clientId: Schema.NullOr(ClientId),
  resourceId: Schema.String,
  /** What is no more; null where there was nothing. */
  before: Schema.NullOr(JsonObject),
  /** What is in its place; null where there is nothing. */
  after: Schema.NullOr(JsonObject)
})
export interface Change extends Schema.Schema.Type<typeof Change> {}

export const AuditEntry = Schema.Struct({
  id: AuditId,
  ...Change.fields,
  keyId: Schema.NullOr(KeyId),
  role: ActorRole,
  address: Schema.NullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromSelf
})
export interface AuditEntry extends Schema.Schema.Type<typeof AuditEntry> {}

/** The members that differ; null where none does. */
export const difference = (before: JsonObject, after: JsonObject): Pick<Change, "before" | "after"> | null => {
  const names = Object.keys(after).filter((name) => !isEqual(before[name] ?? null, after[name] ?? null))
  if (names.length === 0) return null
  const pick = (facts: JsonObject): JsonObject => Object.fromEntries(names.map((name) => [name, facts[name] ?? null]))
  return { before: pick(before), after: pick(after) }
}

/** Facts are scalars and lists of scalars. */
const isEqual = (one: Json, other: Json): boolean =>
  Array.isArray(one) && Array.isArray(other)
    ? one.length === other.length && one.every((item, i) => item === other[i])
    : one === other
