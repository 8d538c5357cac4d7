/** The catalogue of event types: read by every key that may read, written by operators. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Caller } from "../domain/Client.ts"
import { type EventType, type EventTypeName, isReserved } from "../domain/EventType.ts"
import type { Json } from "../domain/Json.ts"
import { type Forbidden, Invalid, type NotFound } from "../domain/Refusal.ts"
import { EventTypeStore } from "../persistence/EventTypeStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import * as CanonicalJson from "../signing/CanonicalJson.ts"
import { authorize, found } from "./Access.ts"
import { Audit } from "./Audit.ts"
import * as AuditChanges from "./AuditChanges.ts"

export interface EventTypeEntry {
  readonly description: string | null
  readonly example: Json
  readonly schema: Json
  readonly sensitivePaths: ReadonlyArray<string>
}

export class EventTypes extends Context.Tag("deeper-hub-webhooks/service/EventTypes")<EventTypes, {
  readonly list: (caller: Caller) => Effect.Effect<ReadonlyArray<EventType>, Forbidden | PersistenceError>
  readonly put: (
    caller: Caller,
    name: EventTypeName,
    entry: EventTypeEntry
  ) => Effect.Effect<EventType, Forbidden | Invalid | PersistenceError>
  readonly remove: (
    caller: Caller,
    name: EventTypeName
  ) => Effect.Effect<void, Forbidden | Invalid | NotFound | PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const audit = yield* Audit
      const store = yield* EventTypeStore
      return EventTypes.of({
        list: (caller) => Effect.zipRight(authorize(caller, "read"), store.list),
        put: Effect.fn("EventTypes.put")(function*(caller, name, entry) {
          yield* authorize(caller, "operate")
          yield* refuseReserved(name)
          const { after } = yield* audit.record(
            caller,
            store.put({ ...entry, name, example: text(entry.example), schema: text(entry.schema) }),
            AuditChanges.eventTypePut
          )
          return after
        }),
        remove: Effect.fn("EventTypes.remove")(function*(caller, name) {
          yield* authorize(caller, "operate")
          yield* refuseReserved(name)
          yield* audit.record(
            caller,
            Effect.flatMap(store.remove(name), found("event_type", name)),
            AuditChanges.eventTypeDeleted
          )
        })
      })
    })
  )
}

const refuseReserved = (name: EventTypeName): Effect.Effect<void, Invalid> =>
  isReserved(name)
    ? Effect.fail(Invalid.one("name", "event_type_reserved", `${name} belongs to this service`))
    : Effect.void

const text = (json: Json): string | null => json === null ? null : CanonicalJson.stringify(json)
