/** Routes of webhooks: what a client registers, changes and tries out. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { CircuitState } from "../domain/Circuit.ts"
import { ErrorClass } from "../domain/DeliveryError.ts"
import { EventTypeName } from "../domain/EventType.ts"
import { CheckResult, HealthStatus } from "../domain/Health.ts"
import { ClientId } from "../domain/Ids.ts"
import { JsonObject } from "../domain/Json.ts"
import * as Webhook from "../domain/Webhook.ts"
import { NewWebhook, WebhookChanges } from "../service/Registration.ts"
import { RotationRequest } from "../service/Rotation.ts"
import * as Secret from "../signing/Secret.ts"
import { Authentication } from "./Authentication.ts"
import { AttemptResource } from "./DeliveriesApi.ts"
import { PublishedResource } from "./EventsApi.ts"
import * as Paging from "./Paging.ts"
import * as PathId from "./PathId.ts"
import * as Problem from "./Problem.ts"
import * as SnakeCase from "./SnakeCase.ts"
import { StatsQuery, StatsResource } from "./StatsResource.ts"

const resourceFields = {
  ...Webhook.Webhook.omit("headerNames").fields,
  headers: Schema.Record({ key: Schema.String, value: Schema.String }).annotations({
    description: "Names of the custom headers; the values are masked."
  }),
  lastSuccessfulDeliveryAt: Schema.NullOr(Schema.DateTimeUtc),
  lastFailureAt: Schema.NullOr(Schema.DateTimeUtc),
  secretExpiresAt: Schema.NullOr(Schema.DateTimeUtc),
  previousSecretExpiresAt: Schema.NullOr(Schema.DateTimeUtc).annotations({
    description: "Until when the secret before the present one signs too, during a rotation."
  }),
  createdAt: Schema.DateTimeUtc,
  updatedAt: Schema.DateTimeUtc
}

export const WebhookResource = SnakeCase.struct(resourceFields).annotations({ identifier: "Webhook" })
export type WebhookResource = typeof WebhookResource.Type

const Warnings = Schema.Array(Schema.Struct({ path: Schema.String, code: Schema.String, message: Schema.String }))
  .annotations({ description: "What was accepted and is worth a second look, such as a host in two alphabets." })

const UpdatedResource = SnakeCase.struct({ ...resourceFields, warnings: Warnings }).annotations({
  identifier: "UpdatedWebhook"
})

const withSecretFields = {
  ...resourceFields,
  secret: Secret.described(Schema.String, "The signing secret, shown this once.")
}

const RegisteredResource = SnakeCase.struct({ ...withSecretFields, warnings: Warnings }).annotations({
  identifier: "RegisteredWebhook"
})

const RotatedResource = SnakeCase.struct(withSecretFields).annotations({ identifier: "RotatedWebhook" })

const NullableMoment = Schema.NullOr(Schema.DateTimeUtc)

const HealthResource = SnakeCase.struct({
  status: HealthStatus,
  lastSuccess: NullableMoment,
  lastFailure: NullableMoment,
  consecutiveFailures: Schema.Int,
  failingSince: NullableMoment.annotations({ description: "Since when every attempt has failed." }),
  circuit: CircuitState,
  circuitUntil: NullableMoment.annotations({
    description: "Until when an open circuit sends nothing, or a half-open one waits for its probe."
  }),
  deactivationReason: Webhook.Webhook.fields.deactivationReason,
  nextProbeAt: NullableMoment.annotations({
    description: "When a webhook that was switched off for failures is pinged next, to be switched on if it answers."
  }),
  lastCheck: Schema.NullOr(SnakeCase.struct({
    at: Schema.DateTimeUtc,
    result: CheckResult,
    errorClass: Schema.NullOr(ErrorClass)
  })).annotations({ description: "The latest ping, by hand or periodic. It counts as no delivery." }),
  certificateExpiresAt: NullableMoment.annotations({
    description: "When the certificate that the endpoint showed last ends."
  })
}).annotations({ identifier: "WebhookHealth" })

const TestEvent = SnakeCase.input({
  eventType: Schema.optional(EventTypeName),
  payload: Schema.optional(JsonObject)
})

const ListQuery = SnakeCase.query({
  ...Paging.fields,
  isActive: Schema.optional(Schema.BooleanFromString),
  eventType: Schema.optional(EventTypeName.annotations({ description: "Only webhooks that such an event reaches." })),
  clientId: Schema.optional(ClientId)
})

const path = Schema.Struct({ id: PathId.parameter("Webhook id: whk_…") })

export class WebhooksApi extends HttpApiGroup.make("webhooks")
  .add(
    HttpApiEndpoint.post("register", "/")
      .setPayload(SnakeCase.input(NewWebhook.fields))
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(RegisteredResource, { status: 201 })
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "Register a webhook; its secret is in the answer, this once")
  )
  .add(
    HttpApiEndpoint.get("list", "/")
      .setUrlParams(ListQuery)
      .addSuccess(Paging.response(WebhookResource))
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "List webhooks")
  )
  .add(
    HttpApiEndpoint.get("get", "/:id")
      .setPath(path)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(WebhookResource)
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "Read a webhook")
  )
  .add(
    HttpApiEndpoint.patch("update", "/:id")
      .setPath(path)
      .setPayload(SnakeCase.input(WebhookChanges.fields))
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(UpdatedResource)
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "Change a webhook; what is left out stays as it is")
  )
  .add(
    HttpApiEndpoint.del("delete", "/:id")
      .setPath(path)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(Schema.Void, { status: 204 })
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "Delete a webhook; its waiting deliveries end")
  )
  .add(
    HttpApiEndpoint.post("rotateSecret", "/:id/secret/rotate")
      .setPath(path)
      .setPayload(SnakeCase.input(RotationRequest.fields))
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(RotatedResource)
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "Give a webhook a new secret, shown this once; both sign for a while")
  )
  .add(
    HttpApiEndpoint.get("health", "/:id/health")
      .setPath(path)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(HealthResource)
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "How a webhook is doing")
  )
  .add(
    HttpApiEndpoint.get("stats", "/:id/stats")
      .setPath(path)
      .setUrlParams(StatsQuery)
      .addSuccess(StatsResource)
      .addError(Problem.notFound)
      .annotate(
        OpenApi.Summary,
        "Success rate, latency, failures by class and retries over a window, with a time series"
      )
  )
  .add(
    HttpApiEndpoint.post("ping", "/:id/ping")
      .setPath(path)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(AttemptResource)
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "Send webhook.ping now and see what came of it")
  )
  .add(
    HttpApiEndpoint.post("test", "/:id/test")
      .setPath(path)
      .setPayload(TestEvent)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(PublishedResource, { status: 202 })
      .addError(Problem.notFound)
      .addError(Problem.conflict)
      .annotate(OpenApi.Summary, "Send a test delivery through the whole path")
  )
  .middleware(Authentication)
  .prefix("/api/webhooks")
{}
