/** What became of an event, webhook by webhook, as the API shows it. */
import * as Schema from "effect/Schema"
import { Outcome } from "../domain/Audience.ts"
import { Delivery } from "../domain/Delivery.ts"
import { ErrorClass } from "../domain/DeliveryError.ts"
import { Event } from "../domain/Event.ts"
import { DeliveryId, WebhookId } from "../domain/Ids.ts"
import * as Paging from "./Paging.ts"
import * as SnakeCase from "./SnakeCase.ts"

const ExplainedResource = SnakeCase.struct({
  webhookId: WebhookId,
  name: Schema.NullOr(Schema.String),
  url: Schema.String,
  outcome: Outcome,
  reason: Schema.String.annotations({ description: "One sentence for people." }),
  deliveryId: Schema.NullOr(DeliveryId),
  hold: Delivery.fields.hold,
  nextRetryAt: Schema.NullOr(Schema.DateTimeUtc),
  attempts: Schema.Int,
  lastErrorClass: Schema.NullOr(ErrorClass),
  deliveredAt: Schema.NullOr(Schema.DateTimeUtc)
}).annotations({ identifier: "ExplainedWebhook" })

export const ExplainQuery = SnakeCase.query(Paging.fields)

export const ExplanationResource = Schema.Struct({
  event: SnakeCase.struct({ ...Event.fields, occurredAt: Schema.DateTimeUtc, createdAt: Schema.DateTimeUtc }),
  webhooks: Schema.Array(ExplainedResource),
  page: Paging.response(ExplainedResource).fields.page
}).annotations({ identifier: "EventExplanation" })
