/** Routes of alerts. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { Alert, AlertKind, AlertState } from "../domain/Alert.ts"
import { ClientId, WebhookId } from "../domain/Ids.ts"
import { Authentication } from "./Authentication.ts"
import * as Paging from "./Paging.ts"
import * as PathId from "./PathId.ts"
import * as Problem from "./Problem.ts"
import * as SnakeCase from "./SnakeCase.ts"

export const AlertResource = SnakeCase.struct({
  ...Alert.fields,
  occurrences: Alert.fields.occurrences.annotations({ description: "How often it was raised while it was open." }),
  raisedAt: Schema.DateTimeUtc,
  lastRaisedAt: Schema.DateTimeUtc,
  acknowledgedAt: Schema.NullOr(Schema.DateTimeUtc),
  resolvedAt: Schema.NullOr(Schema.DateTimeUtc).annotations({
    description: "When what it tells of was over; null while the alert is open."
  })
}).annotations({ identifier: "Alert" })

export const AlertPage = Paging.response(AlertResource)

const Query = SnakeCase.query({
  ...Paging.fields,
  clientId: Schema.optional(ClientId),
  webhookId: Schema.optional(WebhookId),
  kind: Schema.optional(AlertKind),
  state: Schema.optional(AlertState)
})

export class AlertsApi extends HttpApiGroup.make("alerts")
  .add(
    HttpApiEndpoint.get("list", "/")
      .setUrlParams(Query)
      .addSuccess(AlertPage)
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "List alerts")
  )
  .add(
    HttpApiEndpoint.post("acknowledge", "/:id/acknowledge")
      .setPath(Schema.Struct({ id: PathId.parameter("Alert id: alr_…") }))
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(AlertResource)
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "Say that an alert was seen; one about a moment is resolved by that")
  )
  .middleware(Authentication)
  .prefix("/api/alerts")
{}
