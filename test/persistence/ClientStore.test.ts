import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Option } from "effect"
import { createHash } from "node:crypto"
import type { Role } from "../../src/domain/Client.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { ClientStore } from "../../src/persistence/ClientStore.ts"
import * as Stores from "../support/Stores.ts"

const makeClient = (name: string) =>
  Effect.gen(function*() {
    const id = Ids.ClientId.make(name)
    yield* Effect.flatMap(ClientStore, (store) => store.insert({ id, name: null, alertEmail: null }))
    return id
  })

const secretHash = new Uint8Array(createHash("sha256").update("secret").digest())

const makeKey = (clientId: Ids.ClientId, change: { readonly role?: Role; readonly expiresAt?: DateTime.Utc } = {}) =>
  Effect.gen(function*() {
    const id = yield* Ids.make("KeyId")
    const store = yield* ClientStore
    return yield* store.insertKey({ id, clientId, role: "client", name: "ci", expiresAt: null, secretHash, ...change })
  })

layer(Stores.layer, Stores.options)("ClientStore", (it) => {
  it.effect("has no operator until there is an operator's key that works", () =>
    Effect.gen(function*() {
      const store = yield* ClientStore
      const client = yield* makeClient("default")
      yield* makeKey(client)
      assert.isFalse(yield* store.hasOperator)
      const past = DateTime.subtract(yield* DateTime.now, { seconds: 1 })
      yield* makeKey(client, { role: "operator", expiresAt: past })
      assert.isFalse(yield* store.hasOperator)
      const key = yield* makeKey(client, { role: "operator" })
      assert.isTrue(yield* store.hasOperator)
      yield* store.revokeKey(client, key.id)
      assert.isFalse(yield* store.hasOperator)
    }))

  it.effect("gives an id to one client only, however many ask at once", () =>
    Effect.gen(function*() {
      const store = yield* ClientStore
      const id = Ids.ClientId.make("wanted")
      assert.isFalse(yield* store.exists(id))
      const made = yield* Effect.all([1, 2, 3, 4].map((n) => store.insert({ id, name: `${n}`, alertEmail: null })), {
        concurrency: 4
      })
      assert.lengthOf(made.filter(Option.isSome), 1)
      assert.isTrue(yield* store.exists(id))
      assert.isFalse(yield* store.exists(Ids.ClientId.make("WANTED")))
    }))

  it.effect("lists clients newest first, page by page", () =>
    Effect.gen(function*() {
      const store = yield* ClientStore
      for (const name of ["b-page", "c-page", "a-page"]) yield* makeClient(name)
      const first = yield* store.list({ limit: 2, after: null })
      assert.deepStrictEqual(first.data.map(({ id }) => id.toString()), ["a-page", "c-page"])
      const second = yield* store.list({ limit: 1, after: first.next })
      assert.deepStrictEqual(second.data.map(({ id }) => id.toString()), ["b-page"])
      const everything = yield* store.list({ limit: 100, after: null })
      assert.isNull(everything.next)
      assert.strictEqual(new Set(everything.data.map(({ id }) => id)).size, everything.data.length)
    }))

  it.effect("reads a key that works, with its hash, and none that is revoked, expired or unknown", () =>
    Effect.gen(function*() {
      const store = yield* ClientStore
      const client = yield* makeClient("keys")
      const now = yield* DateTime.now
      const good = yield* makeKey(client, { expiresAt: DateTime.add(now, { hours: 1 }) })
      assert.deepInclude(Option.getOrThrow(yield* store.liveKey(good.id, secretHash)), {
        id: good.id,
        clientId: client,
        role: "client"
      })
      const live = Option.getOrThrow(yield* store.liveKey(good.id, secretHash))
      assert.strictEqual(Buffer.compare(live.secretHash, secretHash), 0)
      const expired = yield* makeKey(client, { expiresAt: DateTime.subtract(now, { seconds: 1 }) })
      const revoked = yield* makeKey(client)
      yield* store.revokeKey(client, revoked.id)
      for (const id of [expired.id, revoked.id, yield* Ids.make("KeyId")]) {
        assert.isTrue(Option.isNone(yield* store.liveKey(id, secretHash)))
      }
    }))

  it.effect("revokes no key of another client, and remembers when a key was revoked first", () =>
    Effect.gen(function*() {
      const store = yield* ClientStore
      const [mine, other] = [yield* makeClient("mine"), yield* makeClient("other")]
      const key = yield* makeKey(mine)
      assert.isTrue(Option.isNone(yield* store.revokeKey(other, key.id)))
      assert.isTrue(Option.isSome(yield* store.liveKey(key.id, secretHash)))
      assert.deepStrictEqual(yield* store.revokeKey(mine, key.id), Option.some({ revokedNow: true }))
      const { data: [revoked] } = yield* store.listKeys(mine, { limit: 1, after: null })
      assert.deepStrictEqual(yield* store.revokeKey(mine, key.id), Option.some({ revokedNow: false }))
      const { data: [again] } = yield* store.listKeys(mine, { limit: 1, after: null })
      assert.isNotNull(revoked?.revokedAt)
      assert.deepStrictEqual(again?.revokedAt, revoked?.revokedAt)
    }))

  it.effect("lists a client's own keys newest first, revoked ones too, and never their hashes", () =>
    Effect.gen(function*() {
      const store = yield* ClientStore
      const [mine, other] = [yield* makeClient("lister"), yield* makeClient("neighbour")]
      const keys: Array<Ids.KeyId> = []
      for (let i = 0; i < 5; i++) {
        keys.unshift((yield* makeKey(mine)).id)
        yield* makeKey(other)
      }
      keys.sort().reverse()
      const first = yield* store.listKeys(mine, { limit: 3, after: null })
      const second = yield* store.listKeys(mine, { limit: 3, after: first.next })
      assert.deepStrictEqual([...first.data, ...second.data].map(({ id }) => id), keys)
      assert.isNull(second.next)
      assert.notProperty(first.data[0], "secretHash")
    }))
})
