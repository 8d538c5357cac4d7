/**
 * What every verb asks first: may this key do that, for which client does it ask, and is there such a thing? What is known
 * without asking anybody is a plain answer.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { allows, type Caller, type Permission, type Reach, reach } from "../domain/Client.ts"
import { ClientId } from "../domain/Ids.ts"
import { Forbidden, NotFound, type Resource } from "../domain/Refusal.ts"
import { type AtOnce, atOnce, goOn } from "../persistence/AtOnce.ts"
import { ClientStore } from "../persistence/ClientStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"

export const defaultClient = ClientId.make("default")

export const authorize = (caller: Caller, permission: Permission): Either.Either<void, Forbidden> =>
  allows(caller.role, permission) ? Either.void : Either.left(new Forbidden({ role: caller.role, permission }))

/**
 * The client that a new webhook or event belongs to: the key's own, or for an operator the one it names, `default`
 * where it names none.
 */
export const clientFor = (caller: Caller, named: ClientId | undefined): Either.Either<ClientId, NotFound> => {
  if (caller.role === "operator") return Either.right(named ?? defaultClient)
  return named === undefined || named === caller.clientId
    ? Either.right(caller.clientId)
    : Either.left(new NotFound({ resource: "client", id: named }))
}

/** Whose rows a list shows: those of the client that is named, or where none is, all within the caller's reach. */
export const reachFor = (caller: Caller, named: ClientId | null): Either.Either<Reach, NotFound> =>
  named === null ? Either.right(reach(caller)) : Either.map(clientFor(caller, named), (only) => ({ only }))

/** The row, or the refusal that is the same for an unknown id and another tenant's. */
export const found = (resource: Resource, id: string) => <A>(row: Option.Option<A>): Effect.Effect<A, NotFound> =>
  Option.match(row, { onNone: () => Effect.fail(new NotFound({ resource, id })), onSome: Effect.succeed })

/** The client's id; fails where there is no such client. */
export const makeExisting = Effect.map(
  ClientStore,
  (clients) => (id: ClientId) =>
    atOnce((fiber) =>
      goOn(
        clients.exists(id).inFiber(fiber),
        (exists) => exists ? Effect.succeed(id) : Effect.fail(new NotFound({ resource: "client", id }))
      )
    )
)

/** The client that the caller acts for, and that exists. */
export const makeKnownClient = Effect.map(
  makeExisting,
  (existing) => (caller: Caller, named: ClientId | undefined): AtOnce<ClientId, NotFound | PersistenceError> => {
    const client = clientFor(caller, named)
    return Either.isLeft(client) ? atOnce(() => Effect.fail(client.left)) : existing(client.right)
  }
)
