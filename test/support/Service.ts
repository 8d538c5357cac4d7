/** The service as a process of its own: started as `npm start` does it, with settings that let it reach this machine. */
import { Config, Context, Effect, Layer } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { role } from "../../src/persistence/embedded/Session.ts"
import * as ApiClient from "./ApiClient.ts"
import * as Child from "./Child.ts"
import * as EmbeddedService from "./EmbeddedService.ts"
import { soon } from "./Eventually.ts"
import * as PgTest from "./PgTest.ts"

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url))
export const checkout = dirname(dirname(main))

export interface ServiceOptions {
  readonly dataDirectory: string
  readonly env?: Readonly<Record<string, string>>
  readonly args?: ReadonlyArray<string>
}

/** Deliveries go to receivers on loopback, and polls are quick. */
const settings = {
  PORT: "0",
  WEBHOOKS_ALLOWED_URL_SCHEMES: "http,https",
  WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL: "127.0.0.0/8",
  WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS: "50"
}

/** Starts the command line, whatever comes of it. Nothing of our own environment reaches it but the PATH. */
export const start = ({ args = [], dataDirectory, env = {} }: ServiceOptions) =>
  Effect.gen(function*() {
    const path = yield* Effect.orDie(Config.string("PATH"))
    return yield* Child.start(process.execPath, ["--import", "tsx", main, ...args], {
      cwd: checkout,
      env: { PATH: path, ...settings, WEBHOOKS_DATA_DIRECTORY: dataDirectory, ...env }
    })
  })

export interface Running extends Child.Child {
  readonly base: string
  readonly api: ApiClient.ApiClient
}

/** Starts the service and waits until it is ready. */
export const serve = (options: ServiceOptions, operatorKey = "") =>
  Effect.gen(function*() {
    const child = yield* start(options)
    const [, base = ""] = yield* soon(child.said(/API +(http\S+)\/api\b[^]*Try it:\n.*\n/))
    const file = join(options.dataDirectory, "operator.key")
    const key = existsSync(file) ? readFileSync(file, "utf8").trim() : operatorKey
    const running: Running = { ...child, base, api: ApiClient.make(base, key) }
    return running
  })

/** The service's own Postgres, for as long as it runs: what the rows say is the last word. */
export const embeddedUrl = (dataDirectory: string): string => {
  const [, , , port] = readFileSync(join(EmbeddedService.dataOf(dataDirectory), "postmaster.pid"), "utf8").split("\n")
  const password = readFileSync(join(dataDirectory, "postgres.password"), "utf8").trim()
  return `postgres://${role}:${password}@127.0.0.1:${port}/webhooks`
}

/** One for a whole test file, on the database of PgTest. */
export class Service extends Context.Tag("deeper-hub-webhooks/test/support/Service")<Service, Running>() {
  static readonly layer = (env: Readonly<Record<string, string>> = {}) =>
    Layer.scoped(
      this,
      Effect.gen(function*() {
        const url = yield* PgTest.url
        const dataDirectory = yield* EmbeddedService.directory()
        return yield* serve({ dataDirectory, env: { DATABASE_URL: url, ...env } })
      })
    ).pipe(Layer.provideMerge(PgTest.layer))
}
