/** How an event becomes rows: checked, relieved of sensitive data, written canonically, committed with its deliveries. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { createHash } from "node:crypto"
import * as Event from "../domain/Event.ts"
import { type EventTypeName, isReserved } from "../domain/EventType.ts"
import * as Ids from "../domain/Ids.ts"
import type { ClientId } from "../domain/Ids.ts"
import type { Json, JsonObject } from "../domain/Json.ts"
import { Conflict, Invalid, TooLarge } from "../domain/Refusal.ts"
import * as SensitiveData from "../domain/SensitiveData.ts"
import { EventTypeStore } from "../persistence/EventTypeStore.ts"
import type { StorableEvent } from "../persistence/Publish.ts"
import type { IdempotencyConflict } from "../persistence/Replay.ts"
import * as CanonicalJson from "../signing/CanonicalJson.ts"
import * as TraceContext from "../telemetry/TraceContext.ts"

/** An event as its publisher hands it over. */
export interface EventInput {
  readonly clientId?: ClientId | undefined
  readonly eventType: EventTypeName
  readonly payload: JsonObject
  /** When it happened; now, where absent. */
  readonly occurredAt?: DateTime.Utc | undefined
  /** Where the publisher's trace stands; where absent or unreadable, that of the span in which it is published. */
  readonly traceparent?: string | undefined
}

const idempotencyKeyLengthMax = 255
const idempotencyKeyPattern = /^[\x21-\x7e]+$/

/** Events of one request, ready to be stored. */
export const prepare = (
  events: readonly [EventInput, ...ReadonlyArray<EventInput>],
  limits: { readonly payloadBytesMax: number }
) =>
  Effect.gen(function*() {
    const catalogue = yield* EventTypeStore
    const sensitivePaths = yield* catalogue.sensitivePaths
    const now = yield* DateTime.now
    const here = yield* TraceContext.current
    const [first, ...rest] = events
    const one = (event: EventInput, index: number) =>
      Effect.gen(function*() {
        const id = yield* Ids.make("EventId")
        const occurredAt = event.occurredAt ?? now
        const payload = SensitiveData.filter(event.payload, sensitivePaths.get(event.eventType)) as JsonObject
        const body = CanonicalJson.stringify(Event.envelope({ ...event, id, occurredAt, payload }))
        if (body.length > limits.payloadBytesMax) {
          return yield* payloadTooLarge(index, body.length, limits.payloadBytesMax)
        }
        const traceparent = Option.match(TraceContext.parse(event.traceparent), {
          onNone: () => here,
          onSome: TraceContext.format
        })
        return { id, eventType: event.eventType, occurredAt, body, traceparent } satisfies StorableEvent
      })
    const stored: [StorableEvent, ...Array<StorableEvent>] = [yield* one(first, 0)]
    for (const [index, event] of rest.entries()) stored.push(yield* one(event, index + 1))
    return stored
  })

/** Some types are ours to send. */
export const refuseReserved = (events: ReadonlyArray<EventInput>): Effect.Effect<void, Invalid> => {
  const index = events.findIndex((event) => isReserved(event.eventType))
  return index < 0 ? Effect.void : Effect.fail(Invalid.one(
    events.length === 1 ? "event_type" : `events.${index}.event_type`,
    "event_type_reserved",
    `${events[index]?.eventType} is sent by this service itself; publish under another name`
  ))
}

/** What makes two requests with one idempotency key the same: their events as they were handed over. */
export const idempotency = (key: string | undefined, events: ReadonlyArray<EventInput>, kind: "single" | "batch") =>
  Effect.gen(function*() {
    if (key === undefined) return null
    if (key.length > idempotencyKeyLengthMax || !idempotencyKeyPattern.test(key)) {
      return yield* Invalid.one(
        "Idempotency-Key",
        "idempotency_key_invalid",
        `expected 1 to ${idempotencyKeyLengthMax} printable ASCII characters without spaces`
      )
    }
    const request: ReadonlyArray<Json> = events.map((event) => ({
      event_type: event.eventType,
      occurred_at: event.occurredAt === undefined ? null : DateTime.formatIso(event.occurredAt),
      payload: event.payload
    }))
    const requestHash = createHash("sha256").update(kind).update(CanonicalJson.stringify(request)).digest()
    return { key, requestHash }
  })

export const keyReused = ({ key }: IdempotencyConflict) =>
  new Conflict({
    code: "idempotency_key_reused",
    message: `Idempotency-Key ${key} was used before with another body. Use a new key for a new request.`
  })

const payloadTooLarge = (index: number, bytes: number, bytesMax: number) =>
  new TooLarge({
    code: "payload_too_large",
    message: `Event ${
      index + 1
    } is ${bytes} bytes as it would be sent; the limit is ${bytesMax} (WEBHOOKS_MAX_PAYLOAD_SIZE_KB).`
  })

/** A batch is one transaction of one client. */
export const refuseMixedClients = (events: ReadonlyArray<EventInput>): Effect.Effect<void, Invalid> => {
  const index = events.findIndex((event) => event.clientId !== events[0]?.clientId)
  return index < 0 ? Effect.void : Effect.fail(Invalid.one(
    `events.${index}.client_id`,
    "batch_mixed_clients",
    "all events of a batch belong to one client; send one batch for each"
  ))
}
