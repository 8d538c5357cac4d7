/** What the routes on which events come in do with a request that was read. */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type { Caller } from "../domain/Client.ts"
import type { EventInput } from "../service/Publishing.ts"
import type { WebhookService } from "../service/WebhookService.ts"

export interface Headers {
  readonly "idempotency-key"?: string | undefined
  readonly traceparent?: string | undefined
}

export const make = (webhooks: WebhookService["Type"]) => ({
  one: (caller: Caller, event: EventInput, { "idempotency-key": key, traceparent }: Headers) =>
    webhooks.publish(caller, withTrace(event, traceparent), key),
  batch: (
    caller: Caller,
    { events }: { readonly events: readonly [EventInput, ...ReadonlyArray<EventInput>] },
    { "idempotency-key": key, traceparent }: Headers
  ) => {
    const [first, ...rest] = Arr.map(events, (event) => withTrace(event, traceparent))
    return Effect.map(webhooks.publishBatch(caller, [first, ...rest], key), (data) => ({ data }))
  }
})

// Field by field: a spread of an event that came in many shapes takes longer than all else here.
const withTrace = (
  { clientId, eventType, occurredAt, payload }: EventInput,
  traceparent: string | undefined
): EventInput => ({ clientId, eventType, payload, occurredAt, traceparent })
