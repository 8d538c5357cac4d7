/** The verbs about a webhook's definition. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type * as Redacted from "effect/Redacted"
import * as Struct from "effect/Struct"
import type { Change } from "../domain/Audit.ts"
import { type Caller, reach } from "../domain/Client.ts"
import { type HealthStatus, statusOf, type Watched } from "../domain/Health.ts"
import * as Ids from "../domain/Ids.ts"
import type { ClientId, WebhookId } from "../domain/Ids.ts"
import type { Page, PageRequest } from "../domain/Page.ts"
import type { Forbidden, Invalid, Issue, NotFound } from "../domain/Refusal.ts"
import type { Webhook } from "../domain/Webhook.ts"
import { HealthStore } from "../persistence/HealthStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import {
  type Definition,
  type Modified,
  type SealedWebhook,
  type WebhookFilter,
  WebhookStore
} from "../persistence/WebhookStore.ts"
import * as Secret from "../signing/Secret.ts"
import type { SecretBox } from "../signing/SecretBox.ts"
import { Signal, Signals } from "../telemetry/Signals.ts"
import * as Spans from "../telemetry/Spans.ts"
import type { UrlGuard } from "../transport/UrlGuard.ts"
import { authorize, found, makeKnownClient, reachFor } from "./Access.ts"
import { Audit } from "./Audit.ts"
import * as AuditChanges from "./AuditChanges.ts"
import * as Registration from "./Registration.ts"
import * as Rotation from "./Rotation.ts"

/** A webhook after its owner's changes. */
export interface Updated {
  readonly webhook: Webhook
  /** Of what was said just now: accepted, and worth a second look. */
  readonly warnings: ReadonlyArray<Issue>
}

/** A webhook with its new secret, which is shown this once. */
export interface Registered {
  readonly webhook: Webhook
  readonly secret: Redacted.Redacted
}

/** How a webhook is doing, and what is known of its endpoint. */
export interface Health {
  readonly status: HealthStatus
  readonly webhook: Watched
}

type Refused = Forbidden | NotFound | PersistenceError

export interface Definitions {
  readonly register: (
    caller: Caller,
    input: Registration.NewWebhook
  ) => Effect.Effect<Registered & Updated, Refused | Invalid>
  readonly update: (
    caller: Caller,
    id: WebhookId,
    changes: Registration.WebhookChanges
  ) => Effect.Effect<Updated, Refused | Invalid>
  readonly rotateSecret: (
    caller: Caller,
    id: WebhookId,
    request: Rotation.RotationRequest
  ) => Effect.Effect<Registered, Refused | Invalid>
  readonly remove: (caller: Caller, id: WebhookId) => Effect.Effect<void, Refused>
  readonly get: (caller: Caller, id: WebhookId) => Effect.Effect<Webhook, Refused>
  readonly list: (
    caller: Caller,
    filter: WebhookFilter & { readonly clientId: ClientId | null },
    page: PageRequest
  ) => Effect.Effect<Page<Webhook>, Refused>
  readonly health: (caller: Caller, id: WebhookId) => Effect.Effect<Health, Refused>
}

export const make = (defaults: Registration.RegistrationDefaults) =>
  Effect.gen(function*() {
    const context = yield* Effect.context<SecretBox | UrlGuard>()
    const audit = yield* Audit
    const endpoints = yield* HealthStore
    const store = yield* WebhookStore
    const signals = yield* Signals
    const knownClient = yield* makeKnownClient

    const modify = <E, R>(
      caller: Caller,
      id: WebhookId,
      change: (webhook: SealedWebhook) => Effect.Effect<Definition, E, R>,
      changes: (modified: Modified) => ReadonlyArray<Change>
    ) =>
      Effect.flatMap(store.modify(reach(caller), id, change), found("webhook", id)).pipe(
        (modified) => audit.record(caller, modified, changes),
        Effect.map(({ after }) => after),
        Spans.definition("updated", id)
      )

    return {
      ...queries(store, endpoints),
      register: Effect.fn("WebhookService.register")(function*(caller, input) {
        yield* authorize(caller, "write")
        const clientId = yield* knownClient(caller, input.clientId)
        const id = yield* Ids.make("WebhookId")
        const secret = input.secretKey ?? (yield* Secret.generate)
        const definition = yield* Registration.define({ id, clientId }, input, secret, defaults)
        const webhook = yield* audit.record(caller, store.insert(definition), AuditChanges.webhookCreated).pipe(
          Spans.definition("created", id)
        )
        yield* Effect.logInfo("webhook registered", { webhookId: id, clientId })
        return { webhook, secret, warnings: yield* Registration.warningsOf(webhook.url) }
      }, Effect.provide(context)),
      update: Effect.fn("WebhookService.update")(function*(caller, id, changes) {
        yield* authorize(caller, "write")
        const webhook = yield* modify(
          caller,
          id,
          (current) => Registration.redefine(current, changes),
          AuditChanges.webhookUpdated(changes)
        )
        yield* PubSub.publish(signals, Signal.WorkArrived({ webhookIds: [id] }))
        yield* Effect.logInfo("webhook updated", { webhookId: id, clientId: webhook.clientId })
        return { webhook, warnings: changes.url === undefined ? [] : yield* Registration.warningsOf(webhook.url) }
      }, Effect.provide(context)),
      rotateSecret: Effect.fn("WebhookService.rotateSecret")(function*(caller, id, request) {
        yield* authorize(caller, "write")
        const secret = request.secretKey ?? (yield* Secret.generate)
        const webhook = yield* modify(
          caller,
          id,
          (current) => Rotation.rotate(current, secret, request),
          AuditChanges.secretRotated
        )
        yield* Effect.logInfo("secret rotated", { webhookId: id, clientId: webhook.clientId })
        return { webhook, secret }
      }, Effect.provide(context)),
      remove: Effect.fn("WebhookService.remove")(function*(caller, id) {
        yield* authorize(caller, "write")
        const removed = Effect.flatMap(store.remove(reach(caller), id), found("webhook", id))
        const webhook = yield* audit.record(caller, removed, AuditChanges.webhookDeleted).pipe(
          Spans.definition("deleted", id)
        )
        yield* PubSub.publish(signals, Signal.WorkArrived({ webhookIds: [id] }))
        yield* Effect.logInfo("webhook deleted", { webhookId: id, clientId: webhook.clientId })
      })
    } satisfies Definitions
  })

/** What is sealed stays here: a webhook is shown without it. */
const queries = (store: Context.Tag.Service<WebhookStore>, endpoints: Context.Tag.Service<HealthStore>) => {
  const get = (caller: Caller, id: WebhookId) =>
    Effect.flatMap(store.find(reach(caller), id), found("webhook", id)).pipe(
      Effect.map(Struct.omit("headersSealed", "previousSecretSealed", "readAt", "secretSealed"))
    )
  return {
    get: (caller, id) => Effect.zipRight(authorize(caller, "read"), get(caller, id)),
    list: Effect.fn("WebhookService.list")(function*(caller, { clientId, ...filter }, page) {
      yield* authorize(caller, "read")
      return yield* store.list(yield* reachFor(caller, clientId), filter, page)
    }),
    health: Effect.fn("WebhookService.health")(function*(caller, id) {
      yield* authorize(caller, "read")
      const webhook = yield* Effect.flatMap(endpoints.find(reach(caller), id), found("webhook", id))
      return { status: statusOf(webhook), webhook }
    })
  } satisfies Partial<Definitions>
}
