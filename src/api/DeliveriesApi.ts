/** Routes of deliveries: the history, and sending again. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { AttemptResult, Delivery, DeliveryStatus } from "../domain/Delivery.ts"
import { ErrorClass } from "../domain/DeliveryError.ts"
import { EventTypeName } from "../domain/EventType.ts"
import { AttemptId } from "../domain/Ids.ts"
import { JsonValue } from "../domain/Json.ts"
import { Moment } from "../domain/Moment.ts"
import { Authentication } from "./Authentication.ts"
import * as Paging from "./Paging.ts"
import * as PathId from "./PathId.ts"
import * as Problem from "./Problem.ts"
import * as SnakeCase from "./SnakeCase.ts"
import * as WholeNumber from "./WholeNumber.ts"

const deliveryFields = {
  ...Delivery.fields,
  nextRetryAt: Schema.NullOr(Schema.DateTimeUtc),
  createdAt: Schema.DateTimeUtc,
  deliveredAt: Schema.NullOr(Schema.DateTimeUtc)
}

const DeliveryResource = SnakeCase.struct(deliveryFields).annotations({ identifier: "Delivery" })

export const AttemptResource = SnakeCase.struct({
  id: AttemptId,
  number: Schema.Int,
  result: AttemptResult,
  errorClass: Schema.NullOr(ErrorClass),
  errorMessage: Schema.NullOr(Schema.String),
  startedAt: Schema.DateTimeUtc,
  durationMs: Schema.NullOr(Schema.Int),
  peerAddress: Schema.NullOr(Schema.String),
  responseCode: Schema.NullOr(Schema.Int),
  responseHeaders: Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.String })),
  responseBodyBase64: Schema.NullOr(Schema.String).annotations({ description: "The first 16 KB, byte for byte." }),
  responseTruncated: Schema.NullOr(Schema.Boolean),
  responseError: Schema.NullOr(Schema.String)
}).annotations({ identifier: "Attempt" })
export type AttemptResource = typeof AttemptResource.Type

export const DeliveryDetailResource = SnakeCase.struct({
  ...deliveryFields,
  payload: JsonValue.annotations({ description: "The body of the POST, as it was or will be sent." }),
  attempts: Schema.Array(AttemptResource)
}).annotations({ identifier: "DeliveryDetail" })

const Enqueued = Schema.Struct({ status: Schema.Literal("enqueued") })

const HistoryQuery = SnakeCase.query({
  ...Paging.fields,
  status: Schema.optional(DeliveryStatus),
  eventType: Schema.optional(EventTypeName),
  from: Schema.optional(Moment.annotations({ description: "Created at this moment or later." })),
  to: Schema.optional(Moment.annotations({ description: "Created before this moment." }))
})

const waitMs = WholeNumber.between(
  0,
  30_000,
  "Wait so many milliseconds at the most for the attempt, and answer with the delivery."
)

const path = Schema.Struct({ id: PathId.parameter("Delivery id: dlv_…") })

export class DeliveriesApi extends HttpApiGroup.make("deliveries")
  .add(
    HttpApiEndpoint.get("ofWebhook", "/webhooks/:id/deliveries")
      .setPath(Schema.Struct({ id: PathId.parameter("Webhook id: whk_…") }))
      .setUrlParams(HistoryQuery)
      .addSuccess(Paging.response(DeliveryResource))
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "A webhook's deliveries")
  )
  .add(
    HttpApiEndpoint.get("get", "/deliveries/:id")
      .setPath(path)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(DeliveryDetailResource)
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "A delivery with its payload and every attempt")
  )
  .add(
    HttpApiEndpoint.post("retry", "/deliveries/:id/retry")
      .setPath(path)
      .setUrlParams(SnakeCase.query({ waitMs: Schema.optional(waitMs) }))
      .addSuccess(Enqueued, { status: 202 })
      .addSuccess(DeliveryDetailResource)
      .addError(Problem.notFound)
      .addError(Problem.conflict)
      .annotate(OpenApi.Summary, "Send a delivery again, now")
  )
  .middleware(Authentication)
  .prefix("/api")
{}
