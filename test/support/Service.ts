/** The service as a process of its own: started as `npm start` does it, with settings that let it reach this machine. */
import { Config, Effect } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { role } from "../../src/persistence/embedded/Session.ts"
import * as ApiClient from "./ApiClient.ts"
import * as Child from "./Child.ts"
import * as EmbeddedService from "./EmbeddedService.ts"
import { soon } from "./Eventually.ts"

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url))
export const checkout = dirname(dirname(main))

export interface ServiceOptions {
  readonly dataDirectory: string
  readonly env?: Readonly<Record<string, string>>
  readonly args?: ReadonlyArray<string>
  /** A module of the test's that is loaded first, into the service's own process, and answers questions. */
  readonly preload?: string
}

/** Deliveries go to receivers on loopback, and polls are quick. */
const settings = {
  PORT: "0",
  WEBHOOKS_ALLOWED_URL_SCHEMES: "http,https",
  WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL: "127.0.0.0/8",
  WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS: "50"
}

/** Starts the command line, whatever comes of it. Nothing of our own environment reaches it but the PATH. */
export const start = ({ args = [], dataDirectory, env = {}, preload }: ServiceOptions) =>
  Effect.gen(function*() {
    const path = yield* Effect.orDie(Config.string("PATH"))
    const first = preload === undefined ? [] : ["--import", preload]
    return yield* Child.start(process.execPath, ["--import", "tsx", ...first, main, ...args], {
      cwd: checkout,
      answers: preload !== undefined,
      env: { PATH: path, ...settings, WEBHOOKS_DATA_DIRECTORY: dataDirectory, ...env }
    })
  })

export interface Running extends Child.Child {
  readonly base: string
  /** The operator's. */
  readonly key: string
  readonly api: ApiClient.ApiClient
}

/** Starts the service and waits until it is ready. */
export const serve = (options: ServiceOptions, operatorKey = "") =>
  Effect.gen(function*() {
    const child = yield* start(options)
    const [, base = ""] = yield* soon(child.said(/API +(http\S+)\/api\b[^]*Try it:\n.*\n/))
    const file = join(options.dataDirectory, "operator.key")
    const key = existsSync(file) ? readFileSync(file, "utf8").trim() : operatorKey
    const running: Running = { ...child, base, key, api: ApiClient.make(base, key) }
    return running
  })

/** The service's own Postgres, for as long as it runs: what the rows say is the last word. */
export const embeddedUrl = (dataDirectory: string): string => {
  const [, , , port] = readFileSync(join(EmbeddedService.dataOf(dataDirectory), "postmaster.pid"), "utf8").split("\n")
  const password = readFileSync(join(dataDirectory, "postgres.password"), "utf8").trim()
  return `postgres://${role}:${password}@127.0.0.1:${port}/webhooks`
}
