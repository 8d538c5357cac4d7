/** Routes of the event type catalogue. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { EventType } from "../domain/EventType.ts"
import { JsonObject } from "../domain/Json.ts"
import { Text } from "../domain/Text.ts"
import { Authentication } from "./Authentication.ts"
import * as PathId from "./PathId.ts"
import * as Problem from "./Problem.ts"
import * as SnakeCase from "./SnakeCase.ts"

export const EventTypeResource = SnakeCase.struct({
  ...EventType.fields,
  createdAt: Schema.DateTimeUtc,
  updatedAt: Schema.DateTimeUtc
}).annotations({ identifier: "EventType" })

export const Catalogue = Schema.Struct({ data: Schema.Array(EventTypeResource) })

const SensitivePath = Text.pipe(
  Schema.pattern(/^[^.]+(\.[^.]+)*$/, { message: () => "expected a dotted path, as customer.email or items.*.price" }),
  Schema.maxLength(256)
)

const Entry = SnakeCase.input({
  description: Schema.optionalWith(Schema.NullOr(Text.pipe(Schema.maxLength(1_000))), { default: () => null }),
  example: Schema.optionalWith(Schema.NullOr(JsonObject), { default: () => null }),
  schema: Schema.optionalWith(Schema.NullOr(JsonObject), { default: () => null }),
  sensitivePaths: Schema.optionalWith(Schema.Array(SensitivePath).pipe(Schema.maxItems(100)), { default: () => [] })
})

const path = Schema.Struct({ name: PathId.parameter("Event type: deal.won") })

export class EventTypesApi extends HttpApiGroup.make("event_types")
  .add(
    HttpApiEndpoint.get("list", "/")
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(Catalogue)
      .annotate(OpenApi.Summary, "The catalogue of event types, by name")
  )
  .add(
    HttpApiEndpoint.put("put", "/:name")
      .setPath(path)
      .setPayload(Entry)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(EventTypeResource)
      .annotate(OpenApi.Summary, "Describe an event type (operator)")
  )
  .add(
    HttpApiEndpoint.del("delete", "/:name")
      .setPath(path)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(Schema.Void, { status: 204 })
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "Take an event type out of the catalogue (operator)")
  )
  .middleware(Authentication)
  .prefix("/api/event-types")
{}
