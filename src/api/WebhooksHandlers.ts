import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { WebhookId } from "../domain/Ids.ts"
import { maskedValue, type Webhook } from "../domain/Webhook.ts"
import type { Health, Registered } from "../service/Definitions.ts"
import { Stats } from "../service/Stats.ts"
import { WebhookService } from "../service/WebhookService.ts"
import { Admission } from "./Admission.ts"
import { Api } from "./Api.ts"
import { CurrentCaller } from "./Authentication.ts"
import { attemptResource } from "./DeliveriesHandlers.ts"
import * as NoBody from "./NoBody.ts"
import * as Paging from "./Paging.ts"
import * as PathId from "./PathId.ts"
import type { WebhookResource } from "./WebhooksApi.ts"

const webhookId = PathId.decode("webhook", WebhookId)

export const layer = HttpApiBuilder.group(Api, "webhooks", (handlers) =>
  Effect.gen(function*() {
    const admission = yield* Admission
    const stats = yield* Stats
    const webhooks = yield* WebhookService

    return handlers
      .handle("register", ({ payload }) =>
        Effect.map(
          Effect.flatMap(CurrentCaller, (caller) => webhooks.register(caller, payload)),
          ({ warnings, ...registered }) => ({ ...withSecret(registered), warnings })
        ))
      .handle("list", ({ urlParams: { clientId = null, eventType = null, isActive = null, ...paging } }) =>
        Effect.gen(function*() {
          const page = yield* Paging.request(paging)
          const found = yield* webhooks.list(yield* CurrentCaller, { clientId, eventType, isActive }, page)
          return Paging.toResponse(found, paging.limit, resource)
        }))
      .handle("get", ({ path }) =>
        Effect.map(about(path, webhooks.get), resource))
      .handle("update", ({ path, payload }) =>
        Effect.map(
          about(path, (caller, id) =>
            webhooks.update(caller, id, payload)),
          ({ warnings, webhook }) => ({ ...resource(webhook), warnings })
        ))
      .handle("delete", ({ path }) => about(path, webhooks.remove))
      .handle("rotateSecret", ({ path, payload }) =>
        Effect.map(
          about(path, (caller, id) => webhooks.rotateSecret(caller, id, payload)),
          withSecret
        ))
      .handle("health", ({ path }) => Effect.map(about(path, webhooks.health), health))
      .handle("stats", ({ path, urlParams: { window } }) =>
        about(path, (caller, id) =>
          stats.ofWebhook(caller, id, window)))
      .handle("ping", ({ path }) =>
        Effect.zipRight(
          NoBody.expected,
          Effect.map(
            about(path, (caller, id) =>
              admission.waiting(caller, webhooks.ping(caller, id))),
            attemptResource
          )
        ))
      .handle("test", ({ path, payload }) => about(path, (caller, id) => webhooks.test(caller, id, payload)))
  }))

/** Hands caller and id to a verb about one webhook. */
const about = <A, E>(
  path: { readonly id: string },
  verb: (caller: typeof CurrentCaller.Service, id: WebhookId) => Effect.Effect<A, E>
) => Effect.flatMap(Effect.zip(CurrentCaller, webhookId(path.id)), ([caller, id]) => verb(caller, id))

const resource = ({ headerNames, ...webhook }: Webhook): WebhookResource => ({
  ...webhook,
  headers: Object.fromEntries(headerNames.map((name) => [name, maskedValue]))
})

const health = ({ status, webhook }: Health) => {
  const { lastCheckAt: at, lastCheckErrorClass: errorClass, lastCheckResult: result } = webhook
  return {
    status,
    lastSuccess: webhook.lastSuccessfulDeliveryAt,
    lastFailure: webhook.lastFailureAt,
    consecutiveFailures: webhook.failureCount,
    failingSince: webhook.failingSince,
    circuit: webhook.circuit,
    circuitUntil: webhook.circuitUntil,
    deactivationReason: webhook.deactivationReason,
    nextProbeAt: webhook.healAt,
    lastCheck: at === null || result === null ? null : { at, result, errorClass },
    certificateExpiresAt: webhook.certificateExpiresAt
  }
}

const withSecret = ({ secret, webhook }: Registered) => ({ ...resource(webhook), secret })
