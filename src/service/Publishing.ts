/** How an event becomes rows: checked, relieved of sensitive data, written canonically, committed with its deliveries. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { createHash } from "node:crypto"
import * as Event from "../domain/Event.ts"
import { type EventTypeName, isReserved } from "../domain/EventType.ts"
import * as Ids from "../domain/Ids.ts"
import type { ClientId } from "../domain/Ids.ts"
import type { Json, JsonObject } from "../domain/Json.ts"
import { Conflict, Invalid, TooLarge } from "../domain/Refusal.ts"
import * as SensitiveData from "../domain/SensitiveData.ts"
import { type AtOnce, atOnce, goOn } from "../persistence/AtOnce.ts"
import { EventTypeStore } from "../persistence/EventTypeStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import type { StorableEvent } from "../persistence/PublishRequest.ts"
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

type NonEmpty<A> = readonly [A, ...ReadonlyArray<A>]

/** Makes events of one request ready to be stored. */
export const makePrepare = ({ payloadBytesMax }: { readonly payloadBytesMax: number }) =>
  Effect.map(EventTypeStore, (catalogue) => {
    return (events: NonEmpty<EventInput>): AtOnce<NonEmpty<StorableEvent>, PersistenceError | TooLarge> =>
      atOnce((fiber) =>
        goOn(catalogue.sensitivePaths.inFiber(fiber), (sensitive) => {
          const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
          const present = { now: clock.unsafeCurrentTimeMillis(), here: TraceContext.of(fiber) }
          const [first, ...rest] = events
          const one = (event: EventInput) => storable(event, sensitive.get(event.eventType), present)
          const stored: NonEmpty<StorableEvent> = [one(first), ...rest.map(one)]
          const index = stored.findIndex(({ body }) => body.length > payloadBytesMax)
          return index < 0
            ? Effect.succeed(stored)
            : Effect.fail(payloadTooLarge(index, stored[index]?.body.length ?? 0, payloadBytesMax))
        })
      )
  })

const storable = (
  event: EventInput,
  sensitivePaths: ReadonlyArray<string> | undefined,
  { here, now }: { readonly now: number; readonly here: string | null }
): StorableEvent => {
  const id = Ids.makeAt("EventId", now)
  const occurredAt = event.occurredAt ?? momentOf(now)
  const payload = SensitiveData.filter(event.payload, sensitivePaths) as JsonObject
  return {
    id,
    eventType: event.eventType,
    occurredAt,
    body: flat(CanonicalJson.stringify(Event.envelope({ ...event, id, occurredAt, payload }))),
    traceparent: Option.match(TraceContext.parse(event.traceparent), {
      onNone: () => here,
      onSome: TraceContext.format
    })
  }
}

// Many events are published in one millisecond.
let latest = DateTime.unsafeMake(0)

const momentOf = (millis: number): DateTime.Utc => {
  if (latest.epochMillis !== millis) latest = DateTime.unsafeMake(millis)
  return latest
}

/**
 * The same text in one piece. What is put together of many is a tree to V8 until somebody reads it, and a heap full of trees
 * takes its collector several times as long.
 */
const flat = (text: string): string => text.charCodeAt(0) >= 0 ? text : ""

/** Some types are ours to send. */
export const refuseReserved = (events: ReadonlyArray<EventInput>): Either.Either<void, Invalid> => {
  const index = events.findIndex((event) => isReserved(event.eventType))
  return index < 0 ? Either.void : Either.left(Invalid.one(
    events.length === 1 ? "event_type" : `events.${index}.event_type`,
    "event_type_reserved",
    `${events[index]?.eventType} is sent by this service itself; publish under another name`
  ))
}

/** What makes two requests with one idempotency key the same: their events as they were handed over. */
export const idempotency = (
  key: string | undefined,
  events: ReadonlyArray<EventInput>,
  kind: "single" | "batch"
): Either.Either<{ readonly key: string; readonly requestHash: Uint8Array } | null, Invalid> => {
  if (key === undefined) return Either.right(null)
  if (key.length > idempotencyKeyLengthMax || !idempotencyKeyPattern.test(key)) {
    return Either.left(Invalid.one(
      "Idempotency-Key",
      "idempotency_key_invalid",
      `expected 1 to ${idempotencyKeyLengthMax} printable ASCII characters without spaces`
    ))
  }
  const request: ReadonlyArray<Json> = events.map((event) => ({
    event_type: event.eventType,
    occurred_at: event.occurredAt === undefined ? null : DateTime.formatIso(event.occurredAt),
    payload: event.payload
  }))
  const requestHash = createHash("sha256").update(kind).update(CanonicalJson.stringify(request)).digest()
  return Either.right({ key, requestHash })
}

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
export const refuseMixedClients = (events: ReadonlyArray<EventInput>): Either.Either<void, Invalid> => {
  const index = events.findIndex((event) => event.clientId !== events[0]?.clientId)
  return index < 0 ? Either.void : Either.left(Invalid.one(
    `events.${index}.client_id`,
    "batch_mixed_clients",
    "all events of a batch belong to one client; send one batch for each"
  ))
}
