/** Says who did what. Every verb that changes something does it through `record`. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Actor, AuditEntry, Change } from "../domain/Audit.ts"
import type { Caller } from "../domain/Client.ts"
import type { ClientId } from "../domain/Ids.ts"
import type { JsonObject } from "../domain/Json.ts"
import type { Page, PageRequest } from "../domain/Page.ts"
import type { Forbidden, NotFound } from "../domain/Refusal.ts"
import { type AuditFilter, AuditStore } from "../persistence/AuditStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import * as CanonicalJson from "../signing/CanonicalJson.ts"
import { authorize, reachFor } from "./Access.ts"

export class Audit extends Context.Tag("deeper-hub-webhooks/service/Audit")<Audit, {
  /** Makes a change and writes what is to be said of it, together or not at all. */
  readonly record: <A, E, R>(
    actor: Actor,
    change: Effect.Effect<A, E, R>,
    changes: (done: A) => ReadonlyArray<Change>
  ) => Effect.Effect<A, E | PersistenceError, R>
  readonly list: (
    caller: Caller,
    filter: AuditFilter & { readonly clientId: ClientId | null },
    page: PageRequest
  ) => Effect.Effect<Page<AuditEntry>, Forbidden | NotFound | PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const store = yield* AuditStore
      return Audit.of({
        record: (actor, change, changes) =>
          store.record(change, (done) => changes(done).map((change) => entryOf(actor, change))),
        list: Effect.fn("Audit.list")(function*(caller, { clientId, ...filter }, page) {
          yield* authorize(caller, "read")
          const { data, next } = yield* store.list(yield* reachFor(caller, clientId), filter, page)
          return { data: caller.role === "operator" ? data : data.map(withoutOperatorAddress), next }
        })
      })
    })
  )
}

const entryOf = ({ address, keyId, role }: Actor, { after, before, ...change }: Change) => ({
  ...change,
  keyId,
  role,
  address,
  before: text(before),
  after: text(after)
})

const text = (facts: JsonObject | null): string | null => facts === null ? null : CanonicalJson.stringify(facts)

/** A tenant learns what an operator did to its things, not from where. */
const withoutOperatorAddress = (entry: AuditEntry): AuditEntry =>
  entry.role === "operator" ? { ...entry, address: null } : entry
