/** The client under test and how the tests of the transport speak to it. */
import { Effect, Layer } from "effect"
import { WebhookClient, type WebhookClientOptions, type WebhookRequest } from "../../src/transport/WebhookClient.ts"
import { allowLoopback } from "./ScriptedReceiver.ts"

/** May reach this machine, on every port. */
export const client = (options: Partial<WebhookClientOptions> = {}): Layer.Layer<WebhookClient> =>
  WebhookClient.layer({ userAgent: "transport-test/1", ...options }).pipe(Layer.provide(allowLoopback()))

/** Small, since some receivers use it up; large enough for a machine under load. */
export const timeoutMs = 400

export const post = (url: URL | string, request: Partial<WebhookRequest> = {}) =>
  Effect.flatMap(
    WebhookClient,
    (webhooks) =>
      webhooks.post({
        url: new URL(url),
        headers: { "Content-Type": "application/json" },
        body: `{"hello": "world"}`,
        timeoutMs,
        ...request
      })
  )

/** For attempts that must fail. */
export const failure = (url: URL | string, request: Partial<WebhookRequest> = {}) => Effect.flip(post(url, request))

/** For what was exchanged, however it ended. */
export const either = (url: URL | string, request: Partial<WebhookRequest> = {}) =>
  Effect.match(post(url, request), {
    onFailure: ({ exchange }) => ({ exchange, succeeded: false }),
    onSuccess: (exchange) => ({ exchange, succeeded: true })
  })

/** A receiver that does what it should may take its time on a busy machine. */
export const patient = { timeoutMs: 5_000 }
