import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Layer, Option, Redacted, Schema } from "effect"
import { Buffer } from "node:buffer"
import type * as Ids from "../../src/domain/Ids.ts"
import { SealedStore } from "../../src/persistence/SealedStore.ts"
import { type SealedWebhook, WebhookStore } from "../../src/persistence/WebhookStore.ts"
import { type Reencrypted, Reencryption } from "../../src/service/Reencryption.ts"
import { headersColumn, previousSecretColumn, secretColumn } from "../../src/service/Registration.ts"
import { EncryptionKeys } from "../../src/signing/EncryptionKeys.ts"
import { SecretBox } from "../../src/signing/SecretBox.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const keyring = (...ids: ReadonlyArray<string>) =>
  SecretBox.layer(
    Schema.decodeSync(EncryptionKeys)(
      ids.map((id) => `${id}:${Buffer.alloc(32, id).toString("base64")}`).join(",")
    )
  )

const sealed = (webhook: { readonly id: Ids.WebhookId; readonly clientId: Ids.ClientId }) =>
  Effect.flatMap(SecretBox, (box) => {
    const seal = (text: string, column: string) =>
      box.seal(Redacted.make(text), { clientId: webhook.clientId, webhookId: webhook.id, column })
    return Effect.all({
      secretSealed: seal("present", secretColumn),
      previousSecretSealed: seal("previous", previousSecretColumn),
      headersSealed: seal("{}", headersColumn)
    })
  })

/** A webhook whose three columns were sealed under the present key. */
const make = (clientId: Ids.ClientId) =>
  Effect.gen(function*() {
    const store = yield* WebhookStore
    const { id } = yield* Rows.makeWebhook(clientId, ["*"])
    const columns = yield* sealed({ id, clientId })
    const previousSecretExpiresAt = DateTime.unsafeMake("2031-01-01T00:00:00Z")
    yield* store.modify(Stores.everyone, id, (now) => Effect.succeed({ ...now, ...columns, previousSecretExpiresAt }))
    return id
  })

const find = (id: Ids.WebhookId) =>
  Effect.flatMap(WebhookStore, (store) => Effect.map(store.find(Stores.everyone, id), Option.getOrThrow))

const openAll = (webhook: SealedWebhook) =>
  Effect.flatMap(SecretBox, (box) => {
    const open = (bytes: Uint8Array | null, column: string) =>
      Effect.map(
        box.open(bytes ?? new Uint8Array(), { clientId: webhook.clientId, webhookId: webhook.id, column }),
        Redacted.value
      )
    return Effect.all([
      open(webhook.secretSealed, secretColumn),
      open(webhook.previousSecretSealed, previousSecretColumn),
      open(webhook.headersSealed, headersColumn)
    ])
  })

const run = (onProgress: (soFar: Reencrypted) => Effect.Effect<void> = () => Effect.void) =>
  Effect.flatMap(Reencryption, (reencryption) => reencryption.run(onProgress)).pipe(
    Effect.provide(Reencryption.layer)
  )

layer(Stores.layer, Stores.options)("Reencryption", (it) => {
  it.effect("seals everything again under the first key, so that the older key may go", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("resealed")
      const ids = yield* Effect.replicateEffect(make(client), 230).pipe(Effect.provide(keyring("k1")))
      const seen: Array<number> = []
      const counts = yield* run(({ sealed }) => Effect.sync(() => seen.push(sealed))).pipe(
        Effect.provide(keyring("k2", "k1"))
      )
      assert.deepStrictEqual(counts, { sealed: 230, unreadable: 0 })
      assert.deepStrictEqual(seen, [100, 200, 230])
      for (const id of ids) {
        const opened = yield* Effect.provide(Effect.flatMap(find(id), openAll), keyring("k2"))
        assert.deepStrictEqual(opened, ["present", "previous", "{}"])
      }
      const again = yield* Effect.provide(run(), keyring("k2", "k1"))
      assert.deepStrictEqual(again, { sealed: 0, unreadable: 0 }, "and there is nothing left to do")
    }))

  it.effect("leaves what no key opens as it is, says so, and goes on to the next", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`DELETE FROM subscriptions`
      yield* sql`DELETE FROM webhooks`
      const client = yield* Rows.makeClient("unreadable")
      const lost = yield* make(client).pipe(Effect.provide(keyring("k0")))
      const known = yield* make(client).pipe(Effect.provide(keyring("k1")))
      const before = yield* find(lost)
      const counts = yield* Effect.provide(run(), keyring("k2", "k1"))
      assert.deepStrictEqual(counts, { sealed: 1, unreadable: 1 })
      const after = yield* find(lost)
      assert.deepStrictEqual(
        [after.secretSealed, after.headersSealed],
        [before.secretSealed, before.headersSealed]
      )
      yield* Effect.provide(Effect.flatMap(find(known), openAll), keyring("k2"))
    }))

  it.effect("an owner's change in the meantime stays", () =>
    Effect.gen(function*() {
      const webhooks = yield* WebhookStore
      const client = yield* Rows.makeClient("meanwhile")
      const id = yield* make(client).pipe(Effect.provide(keyring("k1")))
      const store = yield* SealedStore
      const changed = yield* Effect.provide(sealed({ id, clientId: client }), keyring("k1"))
      const slow = SealedStore.of({
        ...store,
        replace: (row, columns) =>
          Effect.zipRight(
            webhooks.modify(Stores.everyone, id, (now) => Effect.succeed({ ...now, ...changed })),
            store.replace(row, columns)
          )
      })
      const counts = yield* Effect.provide(run(), Layer.merge(Layer.succeed(SealedStore, slow), keyring("k2", "k1")))
      assert.strictEqual(counts.sealed, 0, "and is not counted as ours")
      assert.deepStrictEqual((yield* find(id)).secretSealed, Buffer.from(changed.secretSealed))
    }))
})
