/** The contract: every route, its inputs and its answers. `/openapi.json` and `/docs` are made from it. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as OpenApi from "@effect/platform/OpenApi"
import { AlertsApi } from "./AlertsApi.ts"
import { AuditApi } from "./AuditApi.ts"
import { ClientsApi } from "./ClientsApi.ts"
import { DeliveriesApi } from "./DeliveriesApi.ts"
import * as Document from "./Document.ts"
import { EventsApi } from "./EventsApi.ts"
import { EventTypesApi } from "./EventTypesApi.ts"
import * as Problem from "./Problem.ts"
import { ProbesApi, SystemApi } from "./SystemApi.ts"
import { WebhooksApi } from "./WebhooksApi.ts"

export class Api extends HttpApi.make("webhooks")
  .add(WebhooksApi)
  .add(EventsApi)
  .add(DeliveriesApi)
  .add(EventTypesApi)
  .add(AlertsApi)
  .add(ClientsApi)
  .add(AuditApi)
  .add(SystemApi)
  .add(ProbesApi)
  .addError(Problem.malformed)
  .addError(Problem.forbidden)
  .addError(Problem.noRoute)
  .addError(Problem.methodNotAllowed)
  .addError(Problem.requestTimeout)
  .addError(Problem.tooLarge)
  .addError(Problem.unsupportedMedia)
  .addError(Problem.invalid)
  .addError(Problem.tooManyRequests)
  .addError(Problem.internal)
  .addError(Problem.unavailable)
  .annotate(OpenApi.Transform, Document.finish)
  .annotate(OpenApi.Title, "Deeper Hub Webhooks")
  .annotate(OpenApi.Version, "1")
  .annotate(
    OpenApi.Description,
    "Outgoing webhooks: register an endpoint, publish events, see what became of every delivery. " +
      "Problems are RFC 9457 documents with a stable `code`."
  )
{}
