/** The keys of tenants: issued, listed and revoked by operators; and who a presented key is. */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { hash as digest, randomBytes, timingSafeEqual } from "node:crypto"
import { type Actor, system } from "../domain/Audit.ts"
import type { ApiKey, Caller, Role } from "../domain/Client.ts"
import * as Ids from "../domain/Ids.ts"
import type { ClientId, KeyId } from "../domain/Ids.ts"
import type { Page, PageRequest } from "../domain/Page.ts"
import type { Forbidden, NotFound } from "../domain/Refusal.ts"
import { type AtOnce, atOnce, goOn } from "../persistence/AtOnce.ts"
import { ClientStore } from "../persistence/ClientStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import { authorize, defaultClient, found, makeExisting } from "./Access.ts"
import { Audit } from "./Audit.ts"
import * as AuditChanges from "./AuditChanges.ts"
import { Clients } from "./Clients.ts"

/** A new key with its token, which is shown this once: only its hash is kept. */
export interface IssuedKey extends ApiKey {
  readonly token: Redacted.Redacted
}

/** A key as whoever asks presents it. */
export interface PresentedKey {
  readonly id: KeyId
  /** SHA-256. */
  readonly secretHash: Buffer
}

export interface NewKey {
  readonly role: Role
  readonly name: string | null
  readonly expiresAt: DateTime.Utc | null
}

type Refused = Forbidden | NotFound | PersistenceError

export class ApiKeys extends Context.Tag("deeper-hub-webhooks/service/ApiKeys")<ApiKeys, {
  readonly issue: (caller: Caller, client: ClientId, key: NewKey) => Effect.Effect<IssuedKey, Refused>
  readonly list: (caller: Caller, client: ClientId, page: PageRequest) => Effect.Effect<Page<ApiKey>, Refused>
  /** For good. A key that was revoked before stays so. */
  readonly revoke: (caller: Caller, client: ClientId, key: KeyId) => Effect.Effect<void, Refused>
  /** Who holds this key; none where it is unknown, revoked or expired, or the secret another, all alike. */
  readonly authenticate: (
    key: PresentedKey,
    address: string | null
  ) => AtOnce<Option.Option<Caller>, PersistenceError>
  /**
   * A new operator's key, made without a caller: for the first boot and the command line. `keep` has the token in its
   * hands before the key is valid, so no crash in between leaves a key that nobody knows.
   */
  readonly issueOperator: <E, R>(
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
  const audit = yield* Audit
  const clients = yield* Clients
  const existing = yield* makeExisting

  const issue = <E, R>(
    actor: Actor,
    clientId: ClientId,
    key: NewKey,
    keep: (token: Redacted.Redacted) => Effect.Effect<void, E, R>
  ) =>
    Effect.gen(function*() {
      const id = yield* Ids.make("KeyId")
      const secret = randomBytes(32).toString("hex")
      const token = Redacted.make(`dhw_${suffix(id)}_${secret}`)
      yield* keep(token)
      const inserted = store.insertKey({ id, clientId, ...key, secretHash: hash(secret) })
      const stored = yield* audit.record(actor, inserted, AuditChanges.keyIssued)
      return { ...stored, token }
    })

  return ApiKeys.of({
    issue: Effect.fn("ApiKeys.issue")(function*(caller, client, key) {
      yield* authorize(caller, "operate")
      yield* existing(client)
      return yield* issue(caller, client, key, () => Effect.void)
    }),
    list: Effect.fn("ApiKeys.list")(function*(caller, client, page) {
      yield* authorize(caller, "operate")
      yield* existing(client)
      return yield* store.listKeys(client, page)
    }),
    revoke: Effect.fn("ApiKeys.revoke")(function*(caller, client, key) {
      yield* authorize(caller, "operate")
      const revoked = Effect.flatMap(store.revokeKey(client, key), found("api_key", key))
      yield* audit.record(caller, revoked, AuditChanges.keyRevoked(client, key))
    }),
    authenticate: ({ id, secretHash }, address) =>
      atOnce((fiber) =>
        goOn(store.liveKey(id, secretHash).inFiber(fiber), (known) => {
          // Compared with something on a miss too, so that the time tells nothing.
          const matches = timingSafeEqual(secretHash, Option.match(known, { onNone: () => noHash, onSome: hashOf }))
          return Effect.succeed(Option.filterMap(
            known,
            ({ clientId, id, role }) => matches ? Option.some({ keyId: id, clientId, role, address }) : Option.none()
          ))
        })
      ),
    issueOperator: (name, keep) =>
      Effect.zipRight(
        clients.ensure(system, defaultClient),
        issue(system, defaultClient, { role: "operator", name, expiresAt: null }, keep)
      ),
    hasOperator: store.hasOperator
  })
})

const tokenPattern = /^dhw_([0-7][0-9a-hjkmnp-tv-z]{25})_([0-9a-f]{64})$/

/** What a token says; null where it is none of ours. */
export const presentedBy = (token: string): PresentedKey | null => {
  const [, id, secret] = tokenPattern.exec(token) ?? []
  return id === undefined || secret === undefined ? null : { id: `key_${id}` as KeyId, secretHash: hash(secret) }
}

const hash = (secret: string): Buffer => digest("sha256", secret, "buffer")
const hashOf = (key: { readonly secretHash: Uint8Array }): Uint8Array => key.secretHash
const noHash = Buffer.alloc(32)
const suffix = (id: KeyId): string => id.slice("key_".length)
