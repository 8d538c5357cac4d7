/** Tenants: made, changed and listed by operators. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Actor } from "../domain/Audit.ts"
import type { Caller, Client } from "../domain/Client.ts"
import type { ClientId } from "../domain/Ids.ts"
import type { Page, PageRequest } from "../domain/Page.ts"
import { Conflict, type Forbidden, type NotFound } from "../domain/Refusal.ts"
import { type ClientChanges, ClientStore } from "../persistence/ClientStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import { authorize, found } from "./Access.ts"
import { Audit } from "./Audit.ts"
import * as AuditChanges from "./AuditChanges.ts"

type NewClient = Pick<Client, "id" | "name" | "alertEmail">

export class Clients extends Context.Tag("deeper-hub-webhooks/service/Clients")<Clients, {
  readonly create: (caller: Caller, client: NewClient) => Effect.Effect<Client, Conflict | Forbidden | PersistenceError>
  /**
   * Operators alone: nobody confirms that an address wants the mail, so no tenant's key may have the service write to
   * whom it likes.
   */
  readonly update: (
    caller: Caller,
    id: ClientId,
    changes: ClientChanges
  ) => Effect.Effect<Client, Forbidden | NotFound | PersistenceError>
  readonly list: (caller: Caller, page: PageRequest) => Effect.Effect<Page<Client>, Forbidden | PersistenceError>
  /** Makes the client if it is not there yet. */
  readonly ensure: (actor: Actor, id: ClientId) => Effect.Effect<void, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const store = yield* ClientStore
      const audit = yield* Audit

      const insert = (actor: Actor, client: NewClient) =>
        audit.record(
          actor,
          store.insert(client),
          Option.match({ onNone: () => [], onSome: AuditChanges.clientCreated })
        )

      return Clients.of({
        create: Effect.fn("Clients.create")(function*(caller, client) {
          yield* authorize(caller, "operate")
          const conflict = new Conflict({
            code: "already_exists",
            message: `There is a client ${client.id} already.`
          })
          return yield* Effect.flatMap(insert(caller, client), Effect.mapError(() => conflict))
        }),
        update: Effect.fn("Clients.update")(function*(caller, id, changes) {
          yield* authorize(caller, "operate")
          const updated = Effect.flatMap(store.update(id, changes), found("client", id))
          return (yield* audit.record(caller, updated, AuditChanges.clientUpdated)).after
        }),
        list: (caller, page) => Effect.zipRight(authorize(caller, "operate"), store.list(page)),
        ensure: (actor, id) => Effect.asVoid(insert(actor, { id, name: null, alertEmail: null }))
      })
    })
  )
}
