/**
 * Seals again, under the first key of the keyring, what was sealed under another, while the service runs. When it is
 * through, the other keys may leave the keyring.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { WebhookId } from "../domain/Ids.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import { type SealedColumns, type SealedRow, SealedStore } from "../persistence/SealedStore.ts"
import { SecretBox } from "../signing/SecretBox.ts"
import { headersColumn, previousSecretColumn, secretColumn } from "./Registration.ts"

/** What a pass came to, counted in webhooks. */
export interface Reencrypted {
  readonly sealed: number
  /** No key of the keyring opens them: they stay as they are. */
  readonly unreadable: number
}

export class Reencryption extends Context.Tag("deeper-hub-webhooks/service/Reencryption")<Reencryption, {
  /** One pass over all webhooks; tells of its progress after each page of rows. */
  readonly run: (
    onProgress: (soFar: Reencrypted) => Effect.Effect<void>
  ) => Effect.Effect<Reencrypted, PersistenceError>
  /** The key that seals. */
  readonly keyId: string
}>() {
  static readonly layer = Layer.effect(this, Effect.suspend(() => make))
}

const pageSize = 100

const columns: Readonly<Record<keyof SealedColumns, string>> = {
  secretSealed: secretColumn,
  previousSecretSealed: previousSecretColumn,
  headersSealed: headersColumn
}

const make = Effect.gen(function*() {
  const box = yield* SecretBox
  const store = yield* SealedStore

  const again = (row: SealedRow, name: keyof SealedColumns) =>
    Effect.gen(function*() {
      const sealed = row[name]
      if (sealed === null) return null
      const place = { clientId: row.clientId, webhookId: row.id, column: columns[name] }
      return yield* box.seal(yield* box.open(sealed, place), place)
    })

  const reseal = (row: SealedRow) =>
    Effect.all({
      secretSealed: again(row, "secretSealed"),
      previousSecretSealed: again(row, "previousSecretSealed"),
      headersSealed: again(row, "headersSealed")
    }).pipe(
      Effect.flatMap((columns) => store.replace(row, columns)),
      // A row that somebody changed meanwhile stays his; if he sealed it under an older key, the next pass finds it.
      Effect.map((replaced) => ({ sealed: replaced ? 1 : 0, unreadable: 0 })),
      Effect.catchTag(
        "SecretUnreadable",
        ({ message }) => Effect.as(Effect.logError(`${message}; it was not sealed again`), { sealed: 0, unreadable: 1 })
      )
    )

  const pass = (
    after: WebhookId | null,
    soFar: Reencrypted,
    onProgress: (soFar: Reencrypted) => Effect.Effect<void>
  ): Effect.Effect<Reencrypted, PersistenceError> =>
    Effect.gen(function*() {
      const rows = yield* store.stale(box.currentHeader, after, pageSize)
      const last = rows.at(-1)
      if (last === undefined) return soFar
      const counts = yield* Effect.forEach(rows, reseal)
      const now = [soFar, ...counts].reduce(sum)
      yield* onProgress(now)
      return yield* pass(last.id, now, onProgress)
    })

  return Reencryption.of({
    run: (onProgress) => pass(null, { sealed: 0, unreadable: 0 }, onProgress),
    keyId: box.currentKeyId
  })
})

const sum = (one: Reencrypted, other: Reencrypted): Reencrypted => ({
  sealed: one.sealed + other.sealed,
  unreadable: one.unreadable + other.unreadable
})
