/** Speaks to a running service as its users do, over HTTP. Bodies may be JSON texts, so that every spelling can be sent. */
import {
  FetchHttpClient,
  HttpBody,
  HttpClient,
  type HttpClientError,
  HttpClientRequest,
  type HttpMethod
} from "@effect/platform"
import { Data, Effect, Schema } from "effect"

export interface Answer {
  readonly status: number
  readonly text: string
}

class UnexpectedAnswer extends Data.TaggedError("UnexpectedAnswer")<{ readonly message: string }> {}

const Registered = Schema.parseJson(Schema.Struct({ id: Schema.String, secret: Schema.String }))

const Published = Schema.parseJson(Schema.Struct({
  event_id: Schema.String,
  deliveries: Schema.Array(Schema.Struct({ id: Schema.String, webhook_id: Schema.String }))
}))

const deliveryFields = {
  id: Schema.String,
  webhook_id: Schema.String,
  event_id: Schema.String,
  event_type: Schema.String,
  status: Schema.String,
  hold: Schema.NullOr(Schema.String),
  attempt_count: Schema.Int,
  next_retry_at: Schema.NullOr(Schema.String),
  last_response_code: Schema.NullOr(Schema.Int),
  error_class: Schema.NullOr(Schema.String)
}

const Delivery = Schema.parseJson(Schema.Struct({
  ...deliveryFields,
  payload: Schema.Unknown,
  attempts: Schema.Array(Schema.Struct({
    number: Schema.Int,
    result: Schema.String,
    error_class: Schema.NullOr(Schema.String),
    response_code: Schema.NullOr(Schema.Int)
  }))
}))

const History = Schema.parseJson(Schema.Struct({ data: Schema.Array(Schema.Struct(deliveryFields)) }))

const Webhook = Schema.parseJson(Schema.Struct({
  id: Schema.String,
  url: Schema.String,
  is_active: Schema.Boolean,
  deactivation_reason: Schema.NullOr(Schema.String),
  failure_count: Schema.Int
}))

type Failure = HttpClientError.HttpClientError | UnexpectedAnswer

export interface ApiClient {
  readonly send: (
    method: HttpMethod.HttpMethod,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>
  ) => Effect.Effect<Answer, HttpClientError.HttpClientError>
  readonly register: (webhook: Readonly<Record<string, unknown>>) => Effect.Effect<typeof Registered.Type, Failure>
  /** The payload may be a JSON text. */
  readonly publish: (
    eventType: string,
    payload: unknown,
    options?: { readonly idempotencyKey?: string; readonly occurredAt?: string }
  ) => Effect.Effect<typeof Published.Type, Failure>
  readonly delivery: (id: string) => Effect.Effect<typeof Delivery.Type, Failure>
  readonly history: (webhook: string, query?: string) => Effect.Effect<typeof History.Type["data"], Failure>
  readonly webhook: (id: string) => Effect.Effect<typeof Webhook.Type, Failure>
}

export const make = (base: string, key: string): ApiClient => {
  const send: ApiClient["send"] = (method, path, body, headers = {}) =>
    HttpClientRequest.make(method)(`${base}${path}`, { headers }).pipe(
      HttpClientRequest.bearerToken(key),
      body === undefined
        ? (request) => request
        : HttpClientRequest.setBody(HttpBody.text(json(body), "application/json")),
      HttpClient.execute,
      Effect.flatMap((response) => Effect.map(response.text, (text) => ({ status: response.status, text }))),
      Effect.provide(FetchHttpClient.layer)
    )

  /** The answer's body, if it is of the wanted status. */
  const expect = <A>(status: number, schema: Schema.Schema<A, string>) => (asked: ReturnType<ApiClient["send"]>) =>
    Effect.flatMap(asked, (answer) =>
      answer.status === status
        ? Effect.orDie(Schema.decode(schema)(answer.text))
        : new UnexpectedAnswer({ message: `${answer.status} ${answer.text}` }))

  return {
    send,
    register: (webhook) => expect(201, Registered)(send("POST", "/api/webhooks", webhook)),
    publish: (eventType, payload, { idempotencyKey, occurredAt } = {}) => {
      const at = occurredAt === undefined ? "" : `, "occurred_at": ${JSON.stringify(occurredAt)}`
      return expect(202, Published)(send(
        "POST",
        "/api/events",
        `{"event_type": ${JSON.stringify(eventType)}, "payload": ${json(payload)}${at}}`,
        idempotencyKey === undefined ? {} : { "Idempotency-Key": idempotencyKey }
      ))
    },
    delivery: (id) => expect(200, Delivery)(send("GET", `/api/deliveries/${id}`)),
    history: (webhook, query = "") =>
      Effect.map(expect(200, History)(send("GET", `/api/webhooks/${webhook}/deliveries${query}`)), ({ data }) => data),
    webhook: (id) => expect(200, Webhook)(send("GET", `/api/webhooks/${id}`))
  }
}

const json = (body: unknown): string => typeof body === "string" ? body : JSON.stringify(body)
