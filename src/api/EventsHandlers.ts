import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { EventId } from "../domain/Ids.ts"
import type { JsonObject } from "../domain/Json.ts"
import { DeliveryLog } from "../service/DeliveryLog.ts"
import { Explanations } from "../service/Explanations.ts"
import { WebhookService } from "../service/WebhookService.ts"
import { Api } from "./Api.ts"
import { CurrentCaller } from "./Authentication.ts"
import { EventDetailResource } from "./EventsApi.ts"
import * as LosslessJson from "./LosslessJson.ts"
import * as Paging from "./Paging.ts"
import * as PathId from "./PathId.ts"
import * as Publish from "./Publish.ts"
import * as StoredBody from "./StoredBody.ts"

const eventId = PathId.decode("event", EventId)

export const layer = HttpApiBuilder.group(Api, "events", (handlers) =>
  Effect.gen(function*() {
    const publish = Publish.make(yield* WebhookService)
    const log = yield* DeliveryLog
    const explanations = yield* Explanations
    return handlers
      .handle("publish", ({ headers, payload }) =>
        Effect.flatMap(CurrentCaller, (caller) => publish.one(caller, payload, headers)))
      .handle("publishBatch", ({ headers, payload }) =>
        Effect.flatMap(CurrentCaller, (caller) =>
          publish.batch(caller, payload, headers)))
      .handle("list", ({ urlParams: { clientId = null, eventType = null, ...paging } }) =>
        Effect.gen(function*() {
          const page = yield* Paging.request(paging)
          const found = yield* log.events(yield* CurrentCaller, { clientId, eventType }, page)
          return Paging.toResponse(found, paging.limit, (event) =>
            event)
        }))
      .handle("get", ({ path }) =>
        Effect.gen(function*() {
          const id = yield* eventId(path.id)
          const { body, ...event } = yield* log.event(yield* CurrentCaller, id)
          const payload = StoredBody.read(body)["data"] as JsonObject
          return yield* LosslessJson.respond(EventDetailResource)({ ...event, payload })
        }))
      .handle("explain", ({ path, urlParams: query }) =>
        Effect.gen(function*() {
          const page = yield* Paging.request(query)
          const { event, webhooks } = yield* explanations.ofEvent(yield* CurrentCaller, yield* eventId(path.id), page)
          const { data, page: next } = Paging.toResponse(webhooks, query.limit, (explained) =>
            explained)
          return { event, webhooks: data, page: next }
        }))
  }))
