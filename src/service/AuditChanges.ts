/** What the audit log says of each change. Nothing here is a secret: what was replaced is named, never shown. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import { type Change, difference } from "../domain/Audit.ts"
import type { ApiKey, Client } from "../domain/Client.ts"
import type { EventType } from "../domain/EventType.ts"
import type { ClientId, DeliveryId, KeyId } from "../domain/Ids.ts"
import type { JsonObject } from "../domain/Json.ts"
import type { Webhook } from "../domain/Webhook.ts"
import type { Acknowledged } from "../persistence/AlertStore.ts"
import type { Requeued } from "../persistence/DeliveryHistory.ts"
import type { Modified } from "../persistence/WebhookStore.ts"
import * as CanonicalJson from "../signing/CanonicalJson.ts"
import type { WebhookChanges } from "./Registration.ts"

type Changes = ReadonlyArray<Change>

/** Only the acknowledgement that counted. */
export const alertAcknowledged = ({ acknowledgedNow, alert }: Acknowledged): Changes =>
  acknowledgedNow
    ? [{
      action: "alert.acknowledged",
      clientId: alert.clientId,
      resourceId: alert.id,
      before: { acknowledged: false },
      after: { acknowledged: true, kind: alert.kind, webhook_id: alert.webhookId }
    }]
    : []

export const clientCreated = (client: Client): Changes => [
  { action: "client.created", clientId: client.id, resourceId: client.id, before: null, after: clientFacts(client) }
]

export const clientUpdated = ({ after, before }: { readonly before: Client; readonly after: Client }): Changes => {
  const changed = difference(clientFacts(before), clientFacts(after))
  return changed === null
    ? []
    : [{ action: "client.updated", clientId: after.id, resourceId: after.id, ...changed }]
}

const clientFacts = ({ alertEmail, name }: Client): JsonObject => ({ name, alert_email: alertEmail })

export const keyIssued = ({ clientId, expiresAt, id, name, role }: ApiKey): Changes => [
  {
    action: "api_key.created",
    clientId,
    resourceId: id,
    before: null,
    after: { role, name, expires_at: moment(expiresAt) }
  },
  { action: "api_key.secret_revealed", clientId, resourceId: id, before: null, after: null }
]

/** A key that was revoked before stays as it is. */
export const keyRevoked =
  (clientId: ClientId, id: KeyId) => ({ revokedNow }: { readonly revokedNow: boolean }): Changes =>
    revokedNow
      ? [{ action: "api_key.revoked", clientId, resourceId: id, before: { revoked: false }, after: { revoked: true } }]
      : []

export const webhookCreated = (webhook: Webhook): Changes => [
  { ...about(webhook), action: "webhook.created", before: null, after: shown(factsOf(webhook)) },
  secretRevealed(webhook)
]

export const webhookUpdated = (changes: WebhookChanges) => ({ after, before }: Modified): Changes => {
  const changed = difference(factsOf(before), factsOf(after))
  const replaced = {
    ...(changes.secretKey === undefined ? {} : { secret: "replaced" }),
    ...(changes.headers === undefined ? {} : { header_values: "replaced" })
  }
  if (changed === null && Object.keys(replaced).length === 0) return []
  return [{
    ...about(after),
    action: "webhook.updated",
    before: shown(changed?.before ?? {}),
    after: { ...shown(changed?.after ?? {}), ...replaced }
  }]
}

export const secretRotated = ({ after, before }: Modified): Changes => [
  { ...about(after), action: "webhook.secret_rotated", before: expiries(before), after: expiries(after) },
  secretRevealed(after)
]

export const webhookDeleted = (webhook: Webhook): Changes => [
  { ...about(webhook), action: "webhook.deleted", before: shown(factsOf(webhook)), after: null }
]

export const eventTypePut = (
  { after, before }: { readonly before: Option.Option<EventType>; readonly after: EventType }
): Changes => {
  const facts = entryOf(after)
  // A put that changes nothing is no change.
  const isSame = Option.exists(
    before,
    (old) => CanonicalJson.stringify(entryOf(old)) === CanonicalJson.stringify(facts)
  )
  if (isSame) return []
  if (Option.isNone(before)) {
    return [{ action: "event_type.created", clientId: null, resourceId: after.name, before: null, after: facts }]
  }
  return [{
    action: "event_type.updated",
    clientId: null,
    resourceId: after.name,
    before: entryOf(before.value),
    after: facts
  }]
}

export const eventTypeDeleted = (type: EventType): Changes => [
  { action: "event_type.deleted", clientId: null, resourceId: type.name, before: entryOf(type), after: null }
]

export const deliveryRetried = (id: DeliveryId) => ({ attemptCount, clientId, status }: Requeued): Changes => [{
  action: "delivery.retried",
  clientId,
  resourceId: id,
  before: { status, attempt_count: attemptCount },
  after: { status: "pending", attempt_count: attemptCount }
}]

const about = ({ clientId, id }: Webhook) => ({ clientId, resourceId: id })

const secretRevealed = (webhook: Webhook): Change => ({
  ...about(webhook),
  action: "webhook.secret_revealed",
  before: null,
  after: null
})

const factsOf = (webhook: Webhook): JsonObject => ({
  name: webhook.name,
  description: webhook.description,
  url: webhook.url,
  events: webhook.events,
  header_names: webhook.headerNames,
  signatures: webhook.signatures,
  is_active: webhook.isActive,
  deactivation_reason: webhook.deactivationReason,
  retry_count: webhook.retryCount,
  timeout_ms: webhook.timeoutMs,
  ...expiries(webhook)
})

const expiries = ({ previousSecretExpiresAt, secretExpiresAt }: Webhook): JsonObject => ({
  secret_expires_at: moment(secretExpiresAt),
  previous_secret_expires_at: moment(previousSecretExpiresAt)
})

/** A URL's query may hold a token. */
const shown = ({ url, ...facts }: JsonObject): JsonObject =>
  typeof url === "string" ? { ...facts, url: url.replace(/\?.*$/s, "?[REDACTED]") } : facts

const entryOf = ({ description, example, schema, sensitivePaths }: EventType): JsonObject => ({
  description,
  example,
  schema,
  sensitive_paths: sensitivePaths
})

const moment = (at: DateTime.Utc | null): string | null => at === null ? null : DateTime.formatIso(at)
