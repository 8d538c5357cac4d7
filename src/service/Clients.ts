/** Tenants and their keys: made, listed and revoked by operators; and who a presented key is. */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import type { ApiKey, Caller, Client, Role } from "../domain/Client.ts"
import * as Ids from "../domain/Ids.ts"
import type { ClientId, KeyId } from "../domain/Ids.ts"
import type { Page, PageRequest } from "../domain/Page.ts"
import { Conflict, type Forbidden, NotFound } from "../domain/Refusal.ts"
import { ClientStore } from "../persistence/ClientStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import { authorize, defaultClient } from "./Access.ts"

/** A new key with its token, which is shown this once: only its hash is kept. */
export interface IssuedKey extends ApiKey {
  readonly token: Redacted.Redacted
}

export interface NewKey {
  readonly role: Role
  readonly name: string | null
  readonly expiresAt: DateTime.Utc | null
}

export class Clients extends Context.Tag("deeper-hub-webhooks/service/Clients")<Clients, {
  readonly create: (
    caller: Caller,
    client: Pick<Client, "id" | "name">
  ) => Effect.Effect<Client, Conflict | Forbidden | PersistenceError>
  readonly list: (caller: Caller, page: PageRequest) => Effect.Effect<Page<Client>, Forbidden | PersistenceError>
  readonly issueKey: (
    caller: Caller,
    client: ClientId,
    key: NewKey
  ) => Effect.Effect<IssuedKey, Forbidden | NotFound | PersistenceError>
  readonly listKeys: (
    caller: Caller,
    client: ClientId,
    page: PageRequest
  ) => Effect.Effect<Page<ApiKey>, Forbidden | NotFound | PersistenceError>
  readonly revokeKey: (
    caller: Caller,
    client: ClientId,
    key: KeyId
  ) => Effect.Effect<void, Forbidden | NotFound | PersistenceError>
  /** Who holds this token; none where it is unknown, revoked, expired or misspelt, all alike. */
  readonly authenticate: (token: Redacted.Redacted) => Effect.Effect<Option.Option<Caller>, PersistenceError>
  /**
   * A new operator's key, made without a caller: for the first boot and the command line. `keep` has the token in its
   * hands before the key is valid, so no crash in between leaves a key that nobody knows.
   */
  readonly issueOperatorKey: <E, R>(
    name: string,
    keep: (token: Redacted.Redacted) => Effect.Effect<void, E, R>
  ) => Effect.Effect<IssuedKey, PersistenceError | E, R>
  /** Whether there is any operator's key that still works. */
  readonly hasOperator: Effect.Effect<boolean, PersistenceError>
}>() {
  static readonly layer = Layer.effect(this, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const store = yield* ClientStore

  const issue = <E, R>(
    clientId: ClientId,
    key: NewKey,
    keep: (token: Redacted.Redacted) => Effect.Effect<void, E, R>
  ) =>
    Effect.gen(function*() {
      const id = yield* Ids.make("KeyId")
      const secret = randomBytes(32).toString("hex")
      const token = Redacted.make(`dhw_${suffix(id)}_${secret}`)
      yield* keep(token)
      const stored = yield* store.insertKey({ id, clientId, ...key, secretHash: hash(secret) })
      return { ...stored, token }
    })

  const known = (client: ClientId) =>
    Effect.filterOrFail(
      store.exists(client),
      (exists) => exists,
      () => new NotFound({ resource: "client", id: client })
    )

  return Clients.of({
    create: Effect.fn("Clients.create")(function*(caller, client) {
      yield* authorize(caller, "operate")
      return yield* Effect.flatMap(
        store.insert(client),
        Option.match({
          onNone: () => new Conflict({ code: "already_exists", message: `There is a client ${client.id} already.` }),
          onSome: Effect.succeed
        })
      )
    }),
    list: (caller, page) => Effect.zipRight(authorize(caller, "operate"), store.list(page)),
    issueKey: Effect.fn("Clients.issueKey")(function*(caller, client, key) {
      yield* authorize(caller, "operate")
      yield* known(client)
      return yield* issue(client, key, () => Effect.void)
    }),
    listKeys: Effect.fn("Clients.listKeys")(function*(caller, client, page) {
      yield* authorize(caller, "operate")
      yield* known(client)
      return yield* store.listKeys(client, page)
    }),
    revokeKey: Effect.fn("Clients.revokeKey")(function*(caller, client, key) {
      yield* authorize(caller, "operate")
      if (!(yield* store.revokeKey(client, key))) return yield* new NotFound({ resource: "api_key", id: key })
    }),
    authenticate: (token) => {
      const [, id, secret] = /^dhw_([0-7][0-9a-hjkmnp-tv-z]{25})_([0-9a-f]{64})$/.exec(Redacted.value(token)) ?? []
      if (id === undefined || secret === undefined) return Effect.succeedNone
      return Effect.map(store.liveKey(`key_${id}` as KeyId), (found) => {
        // Compared with something on a miss too, so that the time tells nothing.
        const matches = timingSafeEqual(hash(secret), Option.match(found, { onNone: () => noHash, onSome: hashOf }))
        return Option.filterMap(
          found,
          ({ clientId, id, role }) => matches ? Option.some({ keyId: id, clientId, role }) : Option.none()
        )
      })
    },
    issueOperatorKey: (name, keep) =>
      Effect.zipRight(
        store.insert({ id: defaultClient, name: null }),
        issue(defaultClient, { role: "operator", name, expiresAt: null }, keep)
      ),
    hasOperator: store.hasOperator
  })
})

const hash = (secret: string): Buffer => createHash("sha256").update(secret).digest()
const hashOf = (key: { readonly secretHash: Uint8Array }): Uint8Array => key.secretHash
const noHash = Buffer.alloc(32)
const suffix = (id: KeyId): string => id.slice("key_".length)
