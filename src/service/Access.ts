/** The two questions before every verb: may this key do that, and for which client does it ask? */
import * as Effect from "effect/Effect"
import type { Caller, Permission } from "../domain/Client.ts"
import { allows } from "../domain/Client.ts"
import { ClientId } from "../domain/Ids.ts"
import { Forbidden, NotFound } from "../domain/Refusal.ts"
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

/** The same, and the client exists. */
export const makeKnownClient = Effect.map(
  ClientStore,
  (clients) => (caller: Caller, named: ClientId | undefined) =>
    Effect.tap(clientFor(caller, named), (clientId) =>
      Effect.filterOrFail(
        clients.exists(clientId),
        (exists) => exists,
        () => new NotFound({ resource: "client", id: clientId })
      ))
)
