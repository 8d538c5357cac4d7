/** Starting the service, and every way in which it can fail to start: what it says, and with which code it ends. */
import { SqlClient } from "@effect/sql"
import { assert, describe, it, layer, vi } from "@effect/vitest"
import { Config, Context, Effect, Layer, Queue } from "effect"
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, renameSync, statSync } from "node:fs"
import * as net from "node:net"
import { join } from "node:path"
import * as ApiClient from "../support/ApiClient.ts"
import * as Child from "../support/Child.ts"
import * as EmbeddedService from "../support/EmbeddedService.ts"
import { eventually, soon } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Service from "../support/Service.ts"

vi.setConfig({ testTimeout: 180_000 })

const hasCurl = spawnSync("curl", ["--version"]).error === undefined

const keyIn = (dataDirectory: string) => readFileSync(join(dataDirectory, "operator.key"), "utf8").trim()

/** Starts it, expects it to end by itself, and hands over what it said. */
const refused = (options: Service.ServiceOptions) =>
  Effect.gen(function*() {
    const { code, output } = yield* soon(Effect.flatMap(Service.start(options), ({ exit }) => exit))
    assert.strictEqual(code, 1, output)
    assert.notInclude(output, "is ready")
    assert.notMatch(output, /^\s+at /m, "a sentence, not a stack trace")
    return output
  })

/** Runs a command line of the service to its end. */
const run = (options: Service.ServiceOptions) =>
  Effect.gen(function*() {
    const { code, output } = yield* soon(Effect.flatMap(Service.start(options), ({ exit }) => exit))
    assert.strictEqual(code, 0, output)
    return output
  })

const takenPort = Effect.map(
  Effect.acquireRelease(
    Effect.async<net.Server>((resume) => {
      const server = net.createServer()
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  ),
  (server) => (server.address() as net.AddressInfo).port
)

describe("the first start, with nothing there", () => {
  it.scopedLive("says where it is and how to begin, and keeps its key from then on", () =>
    Effect.gen(function*() {
      const dataDirectory = yield* EmbeddedService.directory()
      const first = yield* Service.serve({ dataDirectory })
      const said = yield* first.heard
      const key = keyIn(dataDirectory)
      assert.match(key, /^dhw_[0-9a-z]{26}_[0-9a-f]{64}$/)
      for (const line of [`API   ${first.base}/api`, `Docs  ${first.base}/docs`, `Key   ${key}`]) {
        assert.include(said, line)
      }
      for (const file of ["operator.key", "encryption.keys"]) {
        assert.strictEqual(statSync(join(dataDirectory, file)).mode & 0o777, 0o600, file)
      }
      assert.strictEqual((yield* first.api.send("GET", "/docs")).status, 200)
      yield* pasteCurl(said)

      const other = yield* refused({ dataDirectory })
      assert.include(other, `${dataDirectory} is already used by a running service (pid ${first.pid})`)

      assert.strictEqual((yield* first.kill("SIGTERM")).code, 0)
      const second = yield* Service.serve({ dataDirectory })
      assert.strictEqual(keyIn(dataDirectory), key)
      assert.notInclude(yield* second.heard, key, "it is printed once")
      assert.strictEqual((yield* second.api.send("GET", "/api/event-types")).status, 200)
      assert.strictEqual((yield* second.kill("SIGTERM")).code, 0)
    }))

  it.scopedLive("migrate makes the database and ends; nothing of ours is left running", () =>
    Effect.gen(function*() {
      const dataDirectory = yield* EmbeddedService.directory()
      assert.include(yield* run({ dataDirectory, args: ["migrate"] }), "The database is up to date.")
      assert.isFalse(existsSync(join(dataDirectory, "postgres", "postmaster.pid")))
      assert.isFalse(existsSync(join(dataDirectory, "operator.key")))
    }))
})

/** The line as it stands on the screen, given to a shell. */
const pasteCurl = (said: string) =>
  Effect.gen(function*() {
    const line = said.split("\n").map((text) => text.trim()).find((text) => text.startsWith("curl "))
    assert(line, "there is a line to paste")
    if (!hasCurl) return
    const env = { PATH: yield* Config.string("PATH") }
    const { exit } = yield* Child.start("/bin/sh", ["-c", line], { cwd: Service.checkout, env })
    const { code, output } = yield* soon(exit)
    assert.strictEqual(code, 0)
    assert.include(JSON.stringify(JSON.parse(output)), "deal.won")
  })

describe("settings that cannot be used", () => {
  it.scopedLive("each is named, with what was wrong and what is allowed", () =>
    Effect.gen(function*() {
      const dataDirectory = yield* EmbeddedService.directory()
      const output = yield* refused({
        dataDirectory,
        env: {
          PORT: "eighty",
          WEBHOOKS_RETRY_POLICY_MAX_ATTEMPTS: "0",
          WEBHOOKS_ENABLED: "perhaps",
          WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL: "10.0.0.0/99",
          WEBHOOKS_ENCRYPTION_KEYS: "k1:c2hvcnQ"
        }
      })
      assert.include(output, `PORT: expected a whole number from 0 to 65535, found "eighty"`)
      assert.include(output, `WEBHOOKS_RETRY_POLICY_MAX_ATTEMPTS: expected a whole number from 1 to 20, found "0"`)
      assert.include(output, `WEBHOOKS_ENABLED: expected true or false, found "perhaps"`)
      assert.match(output, /WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL: .*10\.0\.0\.0\/99.*0 to 32/)
      assert.match(output, /WEBHOOKS_ENCRYPTION_KEYS: .*base64 of 32 bytes/)
      assert.notInclude(output, "c2hvcnQ", "a secret is not repeated")
      assert.isFalse(existsSync(join(dataDirectory, "service.lock")), "nothing was begun")
    }))

  it.scopedLive(
    "a database that does not answer is said to be one, without its password",
    () =>
      Effect.gen(function*() {
        const dataDirectory = yield* EmbeddedService.directory()
        const port = yield* Effect.scoped(takenPort)
        const url = `postgres://somebody:geheim@127.0.0.1:${port}/webhooks`
        const output = yield* refused({ dataDirectory, env: { DATABASE_URL: url } })
        assert.include(output, `ECONNREFUSED 127.0.0.1:${port}`)
        assert.include(output, "DATABASE_URL")
        assert.notInclude(output, "geheim")
      })
  )
})

/** One installation for these tests: their database knows one operator's key and one key of the secrets. */
class Home extends Context.Tag("deeper-hub-webhooks/test/integration/Start.test/Home")<Home, string>() {
  static readonly layer = Layer.scoped(this, EmbeddedService.directory())
}

layer(Layer.merge(Home.layer, PgTest.layer), { timeout: "180 seconds", excludeTestServices: true })(
  "with DATABASE_URL",
  (it) => {
    it.scoped("a port that is taken is named, and what to do about it", () =>
      Effect.gen(function*() {
        const dataDirectory = yield* Home
        const port = yield* takenPort
        const output = yield* refused({ dataDirectory, env: { DATABASE_URL: yield* PgTest.url, PORT: String(port) } })
        assert.include(output, `127.0.0.1:${port} is taken`)
        assert.include(output, "PORT")
      }))

    it.scoped("that server is used, with one key for every process on it, and the keys command issues more", () =>
      Effect.gen(function*() {
        const env = { DATABASE_URL: yield* PgTest.url }
        const dataDirectory = yield* Home
        const service = yield* Service.serve({ dataDirectory, env })
        assert.isFalse(existsSync(join(dataDirectory, "postgres")))
        const printed = (yield* run({ dataDirectory, env, args: ["keys"] })).trim()
        assert.notStrictEqual(printed, keyIn(dataDirectory))
        assert.strictEqual((yield* ApiClient.make(service.base, printed).send("GET", "/api/system")).status, 200)
        assert.strictEqual((yield* ApiClient.make(service.base, `${printed}0`).send("GET", "/api/system")).status, 401)
      }))

    it.scoped("without the key of the secrets that are stored, it refuses to start", () =>
      Effect.gen(function*() {
        const env = { DATABASE_URL: yield* PgTest.url }
        const dataDirectory = yield* Home
        const service = yield* Service.serve({ dataDirectory, env })
        yield* service.api.register({ url: "http://127.0.0.1:8080/", events: ["user.created"] })
        yield* service.kill("SIGTERM")
        const file = join(dataDirectory, "encryption.keys")
        renameSync(file, `${file}.aside`)
        const output = yield* refused({ dataDirectory, env })
        assert.include(output, "WEBHOOKS_ENCRYPTION_KEYS")
        assert.include(output, file)
        assert.isFalse(existsSync(file), "no new key takes its place")
        renameSync(`${file}.aside`, file)
        yield* (yield* SqlClient.SqlClient)`DELETE FROM webhooks`
      }))

    it.scoped("WEBHOOKS_ENABLED=false takes events in and sends nothing until it is true again", () =>
      Effect.gen(function*() {
        const receiver = yield* ScriptedReceiver.make()
        const env = { DATABASE_URL: yield* PgTest.url }
        const dataDirectory = yield* Home
        const off = yield* Service.serve({ dataDirectory, env: { ...env, WEBHOOKS_ENABLED: "false" } })
        yield* off.api.register({ url: receiver.url().href, events: ["deal.won"] })
        const { deliveries: [delivery] } = yield* off.api.publish("deal.won", {})
        assert(delivery)
        const system = yield* off.api.send("GET", "/api/system")
        assert.notInclude(system.text, "Dispatcher")
        assert.include(system.text, `"waiting":1`)
        assert.strictEqual((yield* off.kill("SIGTERM")).code, 0)
        assert.lengthOf(receiver.received, 0)

        const on = yield* Service.serve({ dataDirectory, env })
        yield* soon(Queue.take(receiver.requests))
        const row = yield* eventually(on.api.delivery(delivery.id), ({ status }) => status === "delivered")
        assert.strictEqual(row.attempt_count, 1)
      }))

    it.scoped("migrate brings an empty database up to date", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`DROP SCHEMA public CASCADE`
        yield* sql`CREATE SCHEMA public`
        const dataDirectory = yield* Home
        const env = { DATABASE_URL: yield* PgTest.url }
        assert.include(yield* run({ dataDirectory, env, args: ["migrate"] }), "The database is up to date.")
        assert.lengthOf(yield* sql`SELECT FROM event_types WHERE name = 'deal.won'`, 1)
      }))
  }
)
