/** The CRM's side of the HTTP API: a plain client that knows the documented routes and nothing of the service's code. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { type Json, JsonFloat } from "../domain/Json.ts"
import type { Recorded } from "./Judge.ts"
import { localTime, type StoryEvent } from "./Story.ts"
import type { Subscriber } from "./Subscribers.ts"

const Registered = Schema.Struct({ id: Schema.String, secret: Schema.String })

const Published = Schema.Struct({
  event_id: Schema.String,
  deliveries: Schema.Array(Schema.Struct({ id: Schema.String, webhook_id: Schema.String }))
})

const DeliveryPage = Schema.Struct({
  data: Schema.Array(Schema.Struct({
    id: Schema.String,
    webhook_id: Schema.String,
    status: Schema.String,
    attempt_count: Schema.Number
  })),
  page: Schema.Struct({ next_cursor: Schema.NullOr(Schema.String) })
})

export const make = (base: string, key: Redacted.Redacted) =>
  Effect.map(HttpClient.HttpClient, (plain) => {
    const client = plain.pipe(
      HttpClient.mapRequest((request) =>
        request.pipe(HttpClientRequest.prependUrl(base), HttpClientRequest.bearerToken(Redacted.value(key)))
      ),
      HttpClient.filterStatusOk
    )
    // What may be repeated is, as an Idempotency-Key allows: the service's database may be away for a moment.
    const patient = HttpClient.retryTransient(client, { schedule: Schedule.spaced("250 millis"), times: 40 })

    const deliveries = (webhookId: string, cursor: string | null): ReturnType<typeof page> =>
      Effect.flatMap(page(webhookId, cursor), ({ next, rows }) =>
        next === null
          ? Effect.succeed({ next, rows })
          : Effect.map(deliveries(webhookId, next), (rest) => ({ ...rest, rows: [...rows, ...rest.rows] })))

    const page = (webhookId: string, cursor: string | null) =>
      patient.execute(
        HttpClientRequest.get(`/api/webhooks/${webhookId}/deliveries`).pipe(
          HttpClientRequest.setUrlParams(cursor === null ? { limit: "200" } : { limit: "200", cursor })
        )
      ).pipe(
        Effect.flatMap(HttpClientResponse.schemaBodyJson(DeliveryPage)),
        Effect.map(({ data, page }) => ({ next: page.next_cursor, rows: data.map(recorded) }))
      )

    return {
      register: ({ events, name, secretKey, timeoutMs }: Subscriber, url: string) =>
        Effect.flatMap(
          client.execute(post("/api/webhooks", {
            name,
            url,
            events,
            timeout_ms: timeoutMs,
            ...(secretKey === null ? {} : { secret_key: secretKey })
          })),
          HttpClientResponse.schemaBodyJson(Registered)
        ),
      publish: ({ eventType, name, occurredAt, payload }: StoryEvent) =>
        Effect.flatMap(
          patient.execute(
            post("/api/events", { event_type: eventType, occurred_at: localTime(occurredAt), payload }).pipe(
              HttpClientRequest.setHeader("idempotency-key", name)
            )
          ),
          HttpClientResponse.schemaBodyJson(Published)
        ),
      deliveriesOf: (webhookId: string) => Effect.map(deliveries(webhookId, null), ({ rows }) => rows),
      attempts: Effect.map(
        Effect.flatMap(client.execute(HttpClientRequest.get("/metrics")), (response) => response.text),
        attemptsByOutcome
      )
    }
  })

export type CrmClient = Effect.Effect.Success<ReturnType<typeof make>>

const post = (path: string, body: Json) =>
  HttpClientRequest.bodyText(HttpClientRequest.post(path), write(body), "application/json")

const recorded = (row: (typeof DeliveryPage.Type)["data"][number]): Recorded => ({
  deliveryId: row.id,
  webhookId: row.webhook_id,
  status: row.status,
  attempts: row.attempt_count
})

const sample = /^deeper_hub_webhooks_delivery_attempts_count\w*\{[^}]*http_status_code_group="(\w+)"[^}]*\} (\d+)/gm

const attemptsByOutcome = (metrics: string): ReadonlyMap<string, number> => {
  const attempts = new Map<string, number>()
  for (const [, group = "", value] of metrics.matchAll(sample)) {
    attempts.set(group, (attempts.get(group) ?? 0) + Number(value))
  }
  return attempts
}

/** JSON as this publisher happens to write it: keys as they come, letters as they are, money with two decimals. */
export const write = (json: Json): string => {
  if (json instanceof JsonFloat) return json.value.toFixed(2)
  if (typeof json === "number") return Number.isInteger(json) ? String(json) : json.toFixed(2)
  if (typeof json === "bigint") return String(json)
  if (typeof json !== "object" || json === null) return JSON.stringify(json)
  if (isArray(json)) return `[${json.map(write).join(",")}]`
  return `{${Object.entries(json).map(([key, value]) => `${JSON.stringify(key)}:${write(value)}`).join(",")}}`
}

// Array.isArray does not narrow a ReadonlyArray.
const isArray = (json: object): json is ReadonlyArray<Json> => Array.isArray(json)
