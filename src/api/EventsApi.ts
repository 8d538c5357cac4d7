/** Routes of events: publishing, and what was published. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { DeliveryStatus } from "../domain/Delivery.ts"
import { Event } from "../domain/Event.ts"
import { EventTypeName } from "../domain/EventType.ts"
import { ClientId, DeliveryId, EventId, WebhookId } from "../domain/Ids.ts"
import { JsonObject } from "../domain/Json.ts"
import { Moment } from "../domain/Moment.ts"
import { Authentication } from "./Authentication.ts"
import { ExplainQuery, ExplanationResource } from "./EventExplanation.ts"
import * as Paging from "./Paging.ts"
import * as PathId from "./PathId.ts"
import * as Problem from "./Problem.ts"
import * as SnakeCase from "./SnakeCase.ts"

export const PublishedResource = SnakeCase.struct({
  eventId: EventId,
  deliveries: Schema.Array(SnakeCase.struct({ id: DeliveryId, webhookId: WebhookId }))
}).annotations({ identifier: "Published" })

export const NewEvent = SnakeCase.input({
  clientId: Schema.optional(ClientId),
  eventType: EventTypeName,
  payload: JsonObject,
  occurredAt: Schema.optional(Moment)
}).annotations({ identifier: "NewEvent" })

export const batchMax = 1_000

export const Batch = SnakeCase.input({
  events: Schema.NonEmptyArray(NewEvent).pipe(Schema.maxItems(batchMax))
})

export const PublishedBatch = Schema.Struct({ data: Schema.Array(PublishedResource) })

const eventFields = { ...Event.fields, occurredAt: Schema.DateTimeUtc, createdAt: Schema.DateTimeUtc }

const EventResource = SnakeCase.struct(eventFields).annotations({ identifier: "Event" })

export const EventDetailResource = SnakeCase.struct({
  ...eventFields,
  payload: JsonObject.annotations({ description: "As it is sent under `data`, sensitive values redacted." }),
  deliveries: Schema.Array(SnakeCase.struct({ id: DeliveryId, webhookId: WebhookId, status: DeliveryStatus }))
}).annotations({ identifier: "EventDetail" })

const PublishHeaders = Schema.Struct({
  "idempotency-key": Schema.optional(
    Schema.String.annotations({
      description: "A repetition with the same key and body answers the same, once published."
    })
  ),
  traceparent: Schema.optional(
    Schema.String.annotations({
      description:
        "Where your trace stands (W3C Trace Context). Attempts are linked with it; what cannot be read is ignored."
    })
  )
})

const ListQuery = SnakeCase.query({
  ...Paging.fields,
  eventType: Schema.optional(EventTypeName),
  clientId: Schema.optional(ClientId)
})

export class EventsApi extends HttpApiGroup.make("events")
  .add(
    HttpApiEndpoint.post("publish", "/")
      .setHeaders(PublishHeaders)
      .setPayload(NewEvent)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(PublishedResource, { status: 202 })
      .addError(Problem.notFound)
      .addError(Problem.conflict)
      .annotate(OpenApi.Summary, "Publish an event; durable when it answers")
  )
  .add(
    HttpApiEndpoint.post("publishBatch", "/batch")
      .setHeaders(PublishHeaders)
      .setPayload(Batch)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(PublishedBatch, { status: 202 })
      .addError(Problem.notFound)
      .addError(Problem.conflict)
      .annotate(OpenApi.Summary, "Publish up to 1,000 events of one client, all or none")
  )
  .add(
    HttpApiEndpoint.get("list", "/")
      .setUrlParams(ListQuery)
      .addSuccess(Paging.response(EventResource))
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "List published events")
  )
  .add(
    HttpApiEndpoint.get("get", "/:id")
      .setPath(Schema.Struct({ id: PathId.parameter("Event id: evt_…") }))
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(EventDetailResource)
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "An event with its payload and its deliveries")
  )
  .add(
    HttpApiEndpoint.get("explain", "/:id/explain")
      .setPath(Schema.Struct({ id: PathId.parameter("Event id: evt_…") }))
      .setUrlParams(ExplainQuery)
      .addSuccess(ExplanationResource)
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "For each webhook of the event's client: what happened, or why nothing did")
  )
  .middleware(Authentication)
  .prefix("/api/events")
{}
