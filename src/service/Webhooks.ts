/**
 * The facade for a program that embeds the service: the verbs of `Deeper_Hub.Webhooks`, each in the name of one client.
 * Inputs are checked as the HTTP API checks them; what is refused fails with a `Refusal`.
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Caller } from "../domain/Client.ts"
import type { Delivery } from "../domain/Delivery.ts"
import type { Published } from "../domain/Event.ts"
import { DeliveryId, WebhookId } from "../domain/Ids.ts"
import type { Page, PageRequest } from "../domain/Page.ts"
import type { Invalid, Refusal } from "../domain/Refusal.ts"
import type { Webhook } from "../domain/Webhook.ts"
import type { DeliveryDetail, DeliveryFilter } from "../persistence/DeliveryHistory.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import * as Tracing from "../telemetry/Tracing.ts"
import * as Checked from "./Checked.ts"
import { Clients } from "./Clients.ts"
import type { Registered } from "./Definitions.ts"
import { DeliveryLog } from "./DeliveryLog.ts"
import * as Registration from "./Registration.ts"
import * as Rotation from "./Rotation.ts"
import { WebhookService } from "./WebhookService.ts"

export type WebhooksFailure = PersistenceError | Refusal

export interface RegisterOptions {
  readonly name?: string
  readonly description?: string
  /** Without one a secret is generated. */
  readonly secret?: Redacted.Redacted
  readonly customHeaders?: Readonly<Record<string, string>>
  /** Attempts per delivery, 1 to 20. */
  readonly retryCount?: number
  readonly timeoutMs?: number
}

/** How a webhook is doing, asked by a ping of this moment. */
export interface HealthCheck {
  readonly status: "healthy" | "unhealthy"
  readonly lastSuccess: DateTime.Utc | null
  readonly lastFailure: DateTime.Utc | null
  readonly consecutiveFailures: number
}

type Answer<A> = Effect.Effect<A, WebhooksFailure>

export class Webhooks extends Context.Tag("deeper-hub-webhooks/service/Webhooks")<Webhooks, {
  /** Registers a webhook; the client is made if it is not known yet. The secret is in the answer, this once. */
  readonly registerWebhook: (
    clientId: string,
    url: string,
    eventTypes: ReadonlyArray<string>,
    options?: RegisterOptions
  ) => Answer<Registered>
  readonly updateWebhook: (
    webhookId: string,
    clientId: string,
    changes: Registration.WebhookChanges
  ) => Answer<Webhook>
  /** Gives the webhook a new secret, which is in the answer this once; both sign for `overlapSeconds`, a day if absent. */
  readonly rotateWebhookSecret: (
    webhookId: string,
    clientId: string,
    options?: { readonly secret?: Redacted.Redacted; readonly overlapSeconds?: number }
  ) => Answer<Registered>
  readonly deleteWebhook: (webhookId: string, clientId: string) => Answer<void>
  readonly getWebhook: (webhookId: string, clientId: string) => Answer<Option.Option<Webhook>>
  readonly listWebhooksForClient: (
    clientId: string,
    filters?: { readonly isActive?: boolean; readonly eventType?: string },
    page?: Partial<PageRequest>
  ) => Answer<Page<Webhook>>
  /** The webhook's deliveries, newest first. */
  readonly listWebhookEvents: (
    webhookId: string,
    clientId: string,
    filters?: Partial<DeliveryFilter>,
    page?: Partial<PageRequest>
  ) => Answer<Page<Delivery>>
  readonly getWebhookEventDetails: (
    deliveryId: string,
    clientId: string
  ) => Answer<Option.Option<DeliveryDetail>>
  /** Fails with a `Conflict` of code `not_retryable` while an attempt is under way. */
  readonly resendWebhookEvent: (deliveryId: string, clientId: string) => Answer<"enqueued">
  /** Sends a ping and says how the webhook is doing. */
  readonly checkWebhookHealth: (webhookId: string, clientId: string) => Answer<HealthCheck>
  readonly triggerTestEvent: (
    webhookId: string,
    clientId: string,
    eventType?: string,
    payload?: Readonly<Record<string, unknown>>
  ) => Answer<Published>
  /** Publishes an event; durable when it answers. */
  readonly triggerEvent: (
    clientId: string,
    event: {
      readonly eventType: string
      readonly payload: Readonly<Record<string, unknown>>
      readonly occurredAt?: DateTime.Utc
      readonly idempotencyKey?: string
    }
  ) => Answer<Published>
}>() {
  static readonly layer = Layer.effect(this, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const webhooks = yield* WebhookService
  const log = yield* DeliveryLog
  const clients = yield* Clients

  return Webhooks.of({
    ...queries(webhooks, log),
    registerWebhook: Effect.fn("Webhooks.registerWebhook")(function*(client, url, eventTypes, options = {}) {
      const caller = yield* actingFor(client)
      const { customHeaders, secret, ...rest } = options
      const input = yield* newWebhook({
        ...rest,
        url,
        events: eventTypes,
        ...(customHeaders === undefined ? {} : { headers: customHeaders }),
        ...(secret === undefined ? {} : { secretKey: secret })
      })
      yield* clients.ensure(caller, caller.clientId)
      return yield* webhooks.register(caller, input)
    }),
    updateWebhook: Effect.fn("Webhooks.updateWebhook")(function*(webhook, client, changes) {
      const caller = yield* actingFor(client)
      return (yield* webhooks.update(caller, yield* webhookId(webhook), yield* webhookChanges(changes))).webhook
    }),
    rotateWebhookSecret: Effect.fn("Webhooks.rotateWebhookSecret")(function*(webhook, client, options = {}) {
      const { overlapSeconds = Rotation.overlapSecondsDefault, secret } = options
      const request = yield* rotation({ overlapSeconds, ...(secret === undefined ? {} : { secretKey: secret }) })
      return yield* webhooks.rotateSecret(yield* actingFor(client), yield* webhookId(webhook), request)
    }),
    deleteWebhook: Effect.fn("Webhooks.deleteWebhook")(function*(webhook, client) {
      yield* webhooks.remove(yield* actingFor(client), yield* webhookId(webhook))
    }),
    resendWebhookEvent: Effect.fn("Webhooks.resendWebhookEvent")(function*(delivery, client) {
      yield* log.retry(yield* actingFor(client), yield* deliveryId(delivery))
      return "enqueued" as const
    }),
    checkWebhookHealth: Effect.fn("Webhooks.checkWebhookHealth")(function*(webhook, client) {
      const caller = yield* actingFor(client)
      const id = yield* webhookId(webhook)
      const { result } = yield* webhooks.ping(caller, id)
      const known = yield* webhooks.get(caller, id)
      return {
        status: result === "success" ? "healthy" : "unhealthy",
        lastSuccess: known.lastSuccessfulDeliveryAt,
        lastFailure: known.lastFailureAt,
        consecutiveFailures: known.failureCount
      }
    }),
    triggerTestEvent: Effect.fn("Webhooks.triggerTestEvent")(function*(webhook, client, eventType, payload) {
      return yield* webhooks.test(yield* actingFor(client), yield* webhookId(webhook), {
        eventType: eventType === undefined ? undefined : yield* Checked.eventType(eventType),
        payload: payload === undefined ? undefined : yield* Checked.payload(payload)
      })
    }),
    triggerEvent: (client, event) =>
      Tracing.spanned("Webhooks.triggerEvent", () => {
        const checked = checkedEvent(client, event)
        if (Either.isLeft(checked)) return Effect.fail(checked.left)
        const { caller, input } = checked.right
        return Effect.map(
          webhooks.publish(caller, input, event.idempotencyKey),
          ({ deliveries, eventId }) => ({ eventId, deliveries })
        )
      })
  })
})

/** Who publishes what, once it is checked. A plain answer, since it is asked for at every event. */
const checkedEvent = (client: string, event: Parameters<Webhooks["Type"]["triggerEvent"]>[1]) => {
  const eventType = Checked.eventType(event.eventType)
  if (Either.isLeft(eventType)) return Either.left(eventType.left)
  const payload = Checked.payload(event.payload)
  if (Either.isLeft(payload)) return Either.left(payload.left)
  return Either.map(actingFor(client), (caller) => ({
    caller,
    input: { eventType: eventType.right, payload: payload.right, occurredAt: event.occurredAt }
  }))
}

const queries = (webhooks: Context.Tag.Service<WebhookService>, log: Context.Tag.Service<DeliveryLog>) =>
  ({
    getWebhook: Effect.fn("Webhooks.getWebhook")(function*(webhook, client) {
      return yield* orNone(webhooks.get(yield* actingFor(client), yield* webhookId(webhook)))
    }),
    listWebhooksForClient: Effect.fn("Webhooks.listWebhooksForClient")(function*(client, filters = {}, page = {}) {
      const eventType = filters.eventType === undefined ? null : yield* Checked.eventType(filters.eventType)
      const filter = { isActive: filters.isActive ?? null, eventType, clientId: null }
      return yield* webhooks.list(yield* actingFor(client), filter, yield* pageOf(page))
    }),
    listWebhookEvents: Effect.fn("Webhooks.listWebhookEvents")(function*(webhook, client, filters, page) {
      const filter = { status: null, eventType: null, from: null, to: null, ...filters }
      return yield* log.ofWebhook(yield* actingFor(client), yield* webhookId(webhook), filter, yield* pageOf(page))
    }),
    getWebhookEventDetails: Effect.fn("Webhooks.getWebhookEventDetails")(function*(delivery, client) {
      return yield* orNone(log.find(yield* actingFor(client), yield* deliveryId(delivery)))
    })
  }) satisfies Partial<Context.Tag.Service<Webhooks>>

const firstPage: PageRequest = { limit: 50, after: null }

const pageOf = (page: Partial<PageRequest> = {}) => Checked.page({ ...firstPage, ...page })

const webhookId = Checked.by("webhookId", WebhookId)
const deliveryId = Checked.by("deliveryId", DeliveryId)
const newWebhook = Checked.by("", Schema.typeSchema(Registration.NewWebhook))
const rotation = Checked.by("", Schema.typeSchema(Rotation.RotationRequest))
const webhookChanges = Checked.by("", Schema.typeSchema(Registration.WebhookChanges))

const actingFor = (client: string): Either.Either<Caller, Invalid> =>
  Either.map(Checked.clientId(client), (clientId) => ({ keyId: null, clientId, role: "client", address: null }))

const orNone = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  self.pipe(Effect.asSome, Effect.catchIf((error) => isNotFound(error), () => Effect.succeedNone))

const isNotFound = (error: unknown): error is { readonly _tag: "NotFound" } =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "NotFound"
