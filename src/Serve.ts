/** Running the service: until it is told to stop, or until an actor that cannot be kept alive takes it down. */
import * as HttpServer from "@effect/platform/HttpServer"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as App from "./App.ts"
import { AppConfig } from "./AppConfig.ts"
import * as FirstBoot from "./FirstBoot.ts"
import * as Heap from "./Heap.ts"
import { Supervisor } from "./runtime/Supervisor.ts"
import { ApiKeys } from "./service/ApiKeys.ts"
import { type Reencrypted, Reencryption } from "./service/Reencryption.ts"
import * as StopSignals from "./StopSignals.ts"
import * as Logs from "./telemetry/Logs.ts"

const logs = Layer.unwrapEffect(Effect.map(AppConfig, ({ logFormat }) => Logs.layer(logFormat)))

export const serve = Effect.gen(function*() {
  yield* Heap.letGrow
  const config = yield* AppConfig
  const token = yield* FirstBoot.FirstOperator
  yield* StopSignals.listen
  yield* announce(config, token)
  return yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.watch)
}).pipe(Effect.provide(App.layer), Effect.provide(logs))

export const migrate = Effect.zipRight(
  Layer.build(App.layerDatabase),
  Console.log("The database is up to date.")
).pipe(Effect.scoped)

export const issueOperatorKey = Effect.gen(function*() {
  const keys = yield* ApiKeys
  const { token } = yield* keys.issueOperator("command line", () => Effect.void)
  yield* Console.log(Redacted.value(token))
}).pipe(
  // The key alone goes to the output: scripts read it.
  Effect.provide(App.layerKeys.pipe(Layer.provide(Logger.minimumLogLevel(LogLevel.Error))))
)

export const reencrypt = Effect.gen(function*() {
  const { keyId, run } = yield* Reencryption
  const told = ({ sealed, unreadable }: Reencrypted) =>
    `${sealed} webhook(s) sealed again under key ${keyId}, ${unreadable} that no key of the keyring opens`
  const counts = yield* run((soFar) => Console.log(`so far: ${told(soFar)}`))
  yield* Console.log(`done: ${told(counts)}`)
  const { unreadable } = counts
  if (unreadable > 0) {
    return yield* new KeysMissing({
      message: `${unreadable} webhook(s) were left as they are, each named above. ` +
        "Add the keys that sealed them to WEBHOOKS_ENCRYPTION_KEYS and run this again, or rotate their secrets."
    })
  }
}).pipe(Effect.provide(App.layerReencryption))

export class KeysMissing extends Data.TaggedError("KeysMissing")<{ readonly message: string }> {}

const announce = (config: AppConfig, token: Option.Option<Redacted.Redacted>) =>
  Effect.gen(function*() {
    const base = yield* HttpServer.addressWith((address) => Effect.succeed(urlOf(address, config.host)))
    const file = yield* FirstBoot.operatorKeyFile(config)
    const key = Option.match(token, {
      onNone: () => `the operator key of the first boot is in ${file}`,
      onSome: (token) => `${Redacted.value(token)} (also in ${file})`
    })
    yield* Console.log(
      `
  Deeper Hub Webhooks is ready

  API   ${base}/api
  Docs  ${base}/docs
  Key   ${key}

  Try it:
  curl -s ${base}/api/event-types -H "Authorization: Bearer $(cat '${file}')"
`
    )
  })

const urlOf = (address: HttpServer.Address, host: string): string =>
  address._tag === "UnixAddress" ? address.path : `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`
