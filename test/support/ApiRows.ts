/** What tests of the API begin from, made over the API where it can be. */
import { Effect } from "effect"
import { assert } from "vitest"
import { AlertStore, type NewAlert } from "../../src/persistence/AlertStore.ts"
import { ApiTest, expectStatus, type Sender } from "./ApiTest.ts"
import * as ScriptedReceiver from "./ScriptedReceiver.ts"

// MySQL's, the one port among those that a system hands out to which no webhook may point.
const refusedPort = 33_060

/** A receiver that webhooks of the service under test may point to. */
export const receiver = (...script: ReadonlyArray<ScriptedReceiver.Answer>) =>
  Effect.repeat(ScriptedReceiver.make(script.length === 0 ? { status: 200 } : script), {
    until: ({ port }) => port !== refusedPort
  })

/** Nobody listens there. */
export const deadUrl = "http://127.0.0.1:1024/hook"

export const register = (sender: Sender, fields: object = {}) =>
  Effect.map(
    sender.post("/api/webhooks", { url: deadUrl, events: ["*"], ...fields }),
    (answer) => expectStatus(answer, 201).json
  )

export const publish = (sender: Sender, eventType: string, payload: object = { id: 1 }, fields: object = {}) =>
  Effect.map(
    sender.post("/api/events", { event_type: eventType, payload, ...fields }),
    (answer) => expectStatus(answer, 202).json
  )

/** The only delivery of an event just published, once its first attempt is written. */
export const deliver = (sender: Sender, eventType: string, payload?: object) =>
  Effect.gen(function*() {
    const { attempted } = yield* ApiTest
    const { deliveries } = yield* publish(sender, eventType, payload)
    assert.lengthOf(deliveries, 1)
    yield* attempted(deliveries[0].id)
    return yield* read(sender, `/api/deliveries/${deliveries[0].id}`)
  })

/** Raises an alert about a webhook, as those who watch over it do; answers its id. */
export const raise = (
  webhook: { readonly id: unknown; readonly client_id: unknown },
  change: Partial<NewAlert> = {}
) =>
  Effect.flatMap(AlertStore, (store) =>
    Effect.orDie(store.raise({
      clientId: webhook.client_id as NewAlert["clientId"],
      webhookId: webhook.id as NewAlert["webhookId"],
      kind: "high_latency",
      severity: "warning",
      message: "It takes long to answer.",
      details: { average_ms: 4_200 },
      ...change
    })))

export const read = (sender: Sender, path: string) =>
  Effect.map(sender.get(path), (answer) => expectStatus(answer, 200).json)
