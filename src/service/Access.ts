/** What every verb asks first: may this key do that, for which client does it ask, and is there such a thing? */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { allows, type Caller, type Permission, type Reach, reach } from "../domain/Client.ts"
import { ClientId } from "../domain/Ids.ts"
import { Forbidden, NotFound, type Resource } from "../domain/Refusal.ts"
import { ClientStore } from "../persistence/ClientStore.ts"

export const defaultClient = ClientId.make("default")

export const authorize = (caller: Caller, permission: Permission): Effect.Effect<void, Forbidden> =>
  allows(caller.role, permission) ? Effect.void : Effect.fail(new Forbidden({ role: caller.role, permission }))

/**
 * The client that a new webhook or event belongs to: the key's own, or for an operator the one it names, `default`
 * where it names none.
 */
export const clientFor = (caller: Caller, named: ClientId | undefined): Effect.Effect<ClientId, NotFound> => {
  if (caller.role === "operator") return Effect.succeed(named ?? defaultClient)
  return named === undefined || named === caller.clientId
    ? Effect.succeed(caller.clientId)
    : Effect.fail(new NotFound({ resource: "client", id: named }))
}

/** Whose rows a list shows: those of the client that is named, or where none is, all within the caller's reach. */
export const reachFor = (caller: Caller, named: ClientId | null): Effect.Effect<Reach, NotFound> =>
  named === null ? Effect.succeed(reach(caller)) : Effect.map(clientFor(caller, named), (only) => ({ only }))

/** The row, or the refusal that is the same for an unknown id and another tenant's. */
export const found = (resource: Resource, id: string) => <A>(row: Option.Option<A>): Effect.Effect<A, NotFound> =>
  Option.match(row, { onNone: () => Effect.fail(new NotFound({ resource, id })), onSome: Effect.succeed })

/** Fails where there is no such client. */
export const makeExisting = Effect.map(
  ClientStore,
  (clients) => (id: ClientId) =>
    Effect.filterOrFail(clients.exists(id), (exists) => exists, () => new NotFound({ resource: "client", id }))
)

/** The client that the caller acts for, and that exists. */
export const makeKnownClient = Effect.map(
  makeExisting,
  (existing) => (caller: Caller, named: ClientId | undefined) => Effect.tap(clientFor(caller, named), existing)
)
