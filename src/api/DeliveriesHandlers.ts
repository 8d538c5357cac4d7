import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import type { Attempt } from "../domain/Delivery.ts"
import { DeliveryId, WebhookId } from "../domain/Ids.ts"
import type { DeliveryDetail } from "../persistence/DeliveryHistory.ts"
import { DeliveryLog } from "../service/DeliveryLog.ts"
import { Admission } from "./Admission.ts"
import { Api } from "./Api.ts"
import { CurrentCaller } from "./Authentication.ts"
import { type AttemptResource, DeliveryDetailResource } from "./DeliveriesApi.ts"
import * as LosslessJson from "./LosslessJson.ts"
import * as NoBody from "./NoBody.ts"
import * as Paging from "./Paging.ts"
import * as PathId from "./PathId.ts"
import * as StoredBody from "./StoredBody.ts"

const webhookId = PathId.decode("webhook", WebhookId)
const deliveryId = PathId.decode("delivery", DeliveryId)

export const layer = HttpApiBuilder.group(Api, "deliveries", (handlers) =>
  Effect.gen(function*() {
    const admission = yield* Admission
    const log = yield* DeliveryLog
    return handlers
      .handle(
        "ofWebhook",
        ({ path, urlParams: { cursor, eventType = null, from = null, limit, status = null, to = null } }) =>
          Effect.gen(function*() {
            const page = yield* Paging.request({ cursor, limit })
            const webhook = yield* webhookId(path.id)
            const found = yield* log.ofWebhook(yield* CurrentCaller, webhook, { status, eventType, from, to }, page)
            return Paging.toResponse(found, limit, (delivery) => delivery)
          })
      )
      .handle("get", ({ path }) =>
        Effect.gen(function*() {
          const id = yield* deliveryId(path.id)
          return yield* respond(yield* log.find(yield* CurrentCaller, id))
        }))
      .handle("retry", ({ path, urlParams: { waitMs } }) =>
        Effect.gen(function*() {
          const id = yield* deliveryId(path.id)
          const caller = yield* CurrentCaller
          yield* NoBody.expected
          if (waitMs === undefined) return yield* Effect.as(log.retry(caller, id), { status: "enqueued" as const })
          return yield* respond(yield* admission.waiting(caller, log.retryAndWait(caller, id, waitMs)))
        }))
  }))

const respond = ({ attempts, body, ...delivery }: DeliveryDetail) =>
  LosslessJson.respond(DeliveryDetailResource)({
    ...delivery,
    payload: StoredBody.read(body),
    attempts: attempts.map(attemptResource)
  })

export const attemptResource = ({ exchange, ...attempt }: Attempt): AttemptResource => ({
  ...attempt,
  durationMs: exchange?.durationMs ?? null,
  peerAddress: exchange?.peerAddress ?? null,
  responseCode: exchange?.status ?? null,
  responseHeaders: exchange?.headers ?? null,
  responseBodyBase64: exchange === null ? null : Encoding.encodeBase64(exchange.body),
  responseTruncated: exchange?.bodyTruncated ?? null,
  responseError: exchange?.bodyError ?? null
})
