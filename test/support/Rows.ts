/** Rows that tests begin from, made through the stores themselves. */
import { Clock, DateTime, Effect } from "effect"
import { randomUUID } from "node:crypto"
import type { Exchange } from "../../src/domain/Attempt.ts"
import { EventTypeName, Subscription } from "../../src/domain/EventType.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { SignatureScheme } from "../../src/domain/SignatureScheme.ts"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"
import { ClientStore } from "../../src/persistence/ClientStore.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import type { Outcome } from "../../src/persistence/Outcomes.ts"
import { Partitions } from "../../src/persistence/Partitions.ts"
import { type Definition, WebhookStore } from "../../src/persistence/WebhookStore.ts"
import * as Verdict from "../../src/runtime/Verdict.ts"
import { publishAlone } from "./PublishAlone.ts"

export const makeClient = (name: string) =>
  Effect.gen(function*() {
    const id = Ids.ClientId.make(name)
    yield* Effect.flatMap(Partitions, (partitions) => partitions.ensure)
    yield* Effect.flatMap(ClientStore, (store) => store.insert({ id, name: null, alertEmail: null }))
    return id
  })

export const makeWebhook = (clientId: Ids.ClientId, events: ReadonlyArray<string>, change?: Partial<Definition>) =>
  Effect.gen(function*() {
    const id = yield* Ids.make("WebhookId")
    const store = yield* WebhookStore
    return yield* store.insert({
      id,
      clientId,
      name: null,
      description: null,
      url: "https://example.com/hook",
      events: events.map((event) => Subscription.make(event)),
      headerNames: [],
      headersSealed: null,
      secretSealed: new Uint8Array([1]),
      secretExpiresAt: null,
      previousSecretSealed: null,
      previousSecretExpiresAt: null,
      signatures: SignatureScheme.literals,
      isActive: true,
      deactivationReason: null,
      retryCount: 5,
      timeoutMs: 5_000,
      ...change
    })
  })

export const publish = (
  clientId: Ids.ClientId,
  type: string,
  idempotency?: { readonly key: string; readonly hash: string }
) =>
  Effect.gen(function*() {
    const id = yield* Ids.make("EventId")
    const occurredAt = yield* DateTime.now
    const { published } = yield* publishAlone({
      clientId,
      events: [{ id, eventType: EventTypeName.make(type), occurredAt, body: `{"data": {"n": 1}}` }],
      idempotency: idempotency === undefined
        ? null
        : { key: idempotency.key, requestHash: new TextEncoder().encode(idempotency.hash) },
      target: null,
      notice: null,
      lease: null
    })
    return published
  })

/** Claims up to so many deliveries of each webhook that has some due. */
export const claim = (most: number, leaseSeconds = 30) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const { webhooks } = yield* store.dueWebhooks(null)
    return yield* store.claim({
      webhooks: webhooks.map((webhookId) => ({ webhookId, most })),
      leaseToken: randomUUID(),
      leaseSeconds
    })
  })

export const exchange = (status: number | null): Exchange => ({
  startedAt: 1_700_000_000_000,
  durationMs: 12,
  peerAddress: "203.0.113.7",
  status,
  headers: { "content-type": "text/plain", x_under_score: "kept" },
  body: new TextEncoder().encode("o\0k"),
  bodyTruncated: false,
  bodyError: null,
  certificateExpiresAt: null
})

export const outcome = (delivery: ClaimedDelivery, change?: Partial<Outcome>): Effect.Effect<Outcome> =>
  Effect.map(Clock.currentTimeMillis, (now) => ({ ...Verdict.delivered(delivery, exchange(200), now), ...change }))
