/**
 * What a fresh installation makes for itself in its data directory: the key that encrypts secrets, and the first
 * operator's key. Files of mode 600; an operator who configures keys of his own needs neither.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { AppConfig } from "./AppConfig.ts"
import { WebhookStore } from "./persistence/WebhookStore.ts"
import { ApiKeys } from "./service/ApiKeys.ts"
import { EncryptionKeys, generateKey } from "./signing/EncryptionKeys.ts"

export class FirstBootError extends Data.TaggedError("FirstBootError")<{ readonly message: string }> {}

type Settings = Pick<AppConfig, "dataDirectory" | "encryptionKeys">

const fileIn = (settings: Settings, name: string) =>
  Effect.map(Path.Path, (path) => path.resolve(settings.dataDirectory, name))

export const operatorKeyFile = (settings: Settings) => fileIn(settings, "operator.key")

/** The keyring: of the settings, or of the data directory, where the first boot makes it. */
export const encryptionKeys = (settings: Settings) =>
  Option.match(settings.encryptionKeys, {
    onSome: Effect.succeed,
    onNone: () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const file = yield* fileIn(settings, "encryption.keys")
        if (!(yield* fs.exists(file))) {
          yield* refuseNewKey(file)
          yield* writeSecret(file, yield* generateKey, "keep")
        }
        const text = yield* fs.readFileString(file)
        return yield* Effect.mapError(
          Schema.decode(EncryptionKeys)(text.trim()),
          (error) => new FirstBootError({ message: `${file} holds no keyring: ${error.message}` })
        )
      })
  })

/** A new key would open nothing of what is stored already. */
const refuseNewKey = (file: string) =>
  Effect.gen(function*() {
    const webhooks = yield* WebhookStore
    const { data } = yield* webhooks.list({ only: null }, { isActive: null, eventType: null }, {
      limit: 1,
      after: null
    })
    if (data.length === 0) return
    return yield* new FirstBootError({
      message: `The database holds webhooks whose secrets are encrypted, and their key is missing: ` +
        `set WEBHOOKS_ENCRYPTION_KEYS, or bring back ${file}`
    })
  })

/** The token of the first operator's key, where this boot made it; none where an operator's key exists. */
export class FirstOperator extends Context.Tag("deeper-hub-webhooks/FirstBoot/FirstOperator")<
  FirstOperator,
  Option.Option<Redacted.Redacted>
>() {
  static readonly layer = (settings: Settings) => Layer.effect(this, operatorKey(settings))
}

const operatorKey = (settings: Settings) =>
  Effect.gen(function*() {
    const keys = yield* ApiKeys
    if (yield* keys.hasOperator) return Option.none()
    const file = yield* operatorKeyFile(settings)
    const { token } = yield* keys.issueOperator("first boot", (token) => writeSecret(file, token, "replace"))
    return Option.some(token)
  })

/** `keep`: of two that start at once the first one's stays, and the other reads it. */
const writeSecret = (file: string, secret: Redacted.Redacted, existing: "keep" | "replace") =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    yield* fs.makeDirectory(path.dirname(file), { recursive: true })
    // Whole or not at all, and never readable by others in between.
    const draft = `${file}.${process.pid}.tmp`
    yield* fs.writeFileString(draft, `${Redacted.value(secret)}\n`, { mode: 0o600 })
    if (existing === "replace") return yield* fs.rename(draft, file)
    yield* fs.link(draft, file).pipe(
      Effect.catchIf((error) => error._tag === "SystemError" && error.reason === "AlreadyExists", () => Effect.void),
      Effect.ensuring(Effect.ignore(fs.remove(draft)))
    )
  })
