import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Option, Schedule } from "effect"
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import * as EmbeddedService from "../support/EmbeddedService.ts"

const { directory, isRoot, ordinary, query, start } = EmbeddedService

// Generous: these tests share two cores with each other and with other files.
const within = { timeout: 60_000 }

/** Starts a service on `data`, leaves one row there and hands over its url. */
const startWithRow = Effect.fnUntraced(function*(data: string) {
  const service = yield* start(data)
  const url = yield* service.url
  yield* query(url, "CREATE TABLE kept (n int)")
  yield* query(url, "INSERT INTO kept VALUES (42)")
  return { service, url }
})

const keptRows = (url: string) => query(url, "SELECT n FROM kept")

/** A process of that user which has nothing to do with Postgres. */
const sleeper = (uid: number) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => spawn("sleep", ["60"], isRoot ? { uid, cwd: "/" } : {})),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    ),
    ({ pid }) => pid
  )

const removeAllBeside = (data: string) =>
  Effect.sync(() => {
    for (const name of readdirSync(dirname(data)).filter((entry) => entry.startsWith(basename(data)))) {
      rmSync(join(dirname(data), name), { recursive: true, force: true })
    }
  })

const portOf = (url: string) => new URL(url).port

describe.concurrent("EmbeddedPostgres", () => {
  it.scopedLive("keeps its data from one start to the next, and stops with the service", () =>
    Effect.gen(function*() {
      const data = yield* directory()
      const first = yield* startWithRow(data)
      yield* first.service.kill("SIGTERM")
      assert.isTrue(Option.isNone(EmbeddedService.postmasterOf(data)))
      assert.notInclude(readdirSync(data), "service.lock")

      const second = yield* start(data)
      const url = yield* second.url
      assert.deepStrictEqual(yield* keptRows(url), [{ n: 42 }])
      const settings = yield* query(
        url,
        "SELECT name, setting FROM pg_settings WHERE name IN ('data_checksums', 'fsync', 'listen_addresses', 'server_encoding') ORDER BY 1"
      )
      assert.deepStrictEqual(settings.map(({ setting }) => setting), ["on", "on", "127.0.0.1", "UTF8"])
      yield* second.kill("SIGINT")
      assert.isTrue(Option.isNone(EmbeddedService.postmasterOf(data)))
    }), within)

  it.scopedLive("lets nobody else read its password, and lets nobody in without it", () =>
    Effect.gen(function*() {
      const data = yield* directory()
      const service = yield* start(data)
      const url = new URL(yield* service.url)
      assert.strictEqual(statSync(join(data, "postgres.password")).mode & 0o777, 0o600)
      assert.strictEqual(url.password, readFileSync(join(data, "postgres.password"), "utf8").trim())
      url.password = "guessed"
      const refused = yield* Effect.sandbox(query(url.href, "SELECT 1")).pipe(Effect.flip)
      assert.include(Cause.pretty(refused), "password authentication failed")
    }), within)

  it.scopedLive("takes over the server of a service that was killed", () =>
    Effect.gen(function*() {
      const data = yield* directory()
      const first = yield* startWithRow(data)
      yield* first.service.kill("SIGKILL")
      const orphan = EmbeddedService.postmasterOf(data)
      assert.isTrue(Option.isSome(orphan))

      const second = yield* start(data)
      const url = yield* second.url
      assert.strictEqual(portOf(url), portOf(first.url))
      assert.deepStrictEqual(EmbeddedService.postmasterOf(data), orphan)
      assert.deepStrictEqual(yield* keptRows(url), [{ n: 42 }])
      yield* second.kill("SIGTERM")
      assert.isTrue(Option.isNone(EmbeddedService.postmasterOf(data)))
    }), within)

  it.scopedLive("recovers committed rows after service and server were killed", () =>
    Effect.gen(function*() {
      const data = yield* directory()
      const first = yield* startWithRow(data)
      yield* first.service.kill("SIGKILL")
      yield* EmbeddedService.killPostmaster(data)

      const second = yield* start(data)
      assert.deepStrictEqual(yield* keptRows(yield* second.url), [{ n: 42 }])
    }), within)

  it.scopedLive("starts a killed server again at the same address", () =>
    Effect.gen(function*() {
      const data = yield* directory()
      const { service, url } = yield* startWithRow(data)
      yield* EmbeddedService.killPostmaster(data)
      yield* service.said("ended unexpectedly")
      yield* EmbeddedService.until(() => Option.isSome(EmbeddedService.postmasterOf(data)))
      const rows = yield* Effect.retry(Effect.sandbox(keptRows(url)), Schedule.spaced("50 millis"))
      assert.deepStrictEqual(rows, [{ n: 42 }])
      yield* service.kill("SIGTERM")
      assert.isTrue(Option.isNone(EmbeddedService.postmasterOf(data)))
    }), within)

  it.scopedLive("refuses a second service on the same directory and names the first", () =>
    Effect.gen(function*() {
      const data = yield* directory()
      const first = yield* start(data)
      yield* first.url
      const second = yield* start(data)
      const said = yield* second.output
      assert.include(said, "FAILED DataDirectoryInUse")
      assert.include(said, `(pid ${first.pid})`)
    }), within)

  it.scopedLive(
    "refuses a second service even when the lock file was removed, and leaves the server alone",
    () =>
      Effect.gen(function*() {
        const data = yield* directory()
        const first = yield* startWithRow(data)
        rmSync(join(data, "service.lock"))
        const second = yield* start(data)
        const said = yield* second.output
        assert.include(said, "FAILED DataDirectoryInUse")
        assert.include(said, `(pid ${first.service.pid})`)
        assert.deepStrictEqual(yield* keptRows(first.url), [{ n: 42 }])
      }),
    within
  )

  it.scopedLive("starts afresh after a kill in the middle of initdb", () =>
    Effect.gen(function*() {
      const data = yield* directory()
      const first = yield* start(data)
      const workshop = () => readdirSync(data).find((name) => name.includes(".initdb-"))
      yield* EmbeddedService.until(() => existsSync(join(data, workshop() ?? "none", "data", "base")))
      yield* first.kill("SIGKILL")
      assert.isFalse(existsSync(join(data, "postgres")))

      const second = yield* start(data)
      assert.deepStrictEqual(yield* query(yield* second.url, "SELECT 1 AS one"), [{ one: 1 }])
    }), within)

  it.scopedLive("is not fooled by a pid that now belongs to another program", () =>
    Effect.gen(function*() {
      const data = yield* directory()
      const first = yield* startWithRow(data)
      const pidFile = join(data, "postgres", "postmaster.pid")
      const record = readFileSync(pidFile, "utf8").split("\n")
      yield* first.service.kill("SIGKILL")
      yield* EmbeddedService.killPostmaster(data)
      const other = yield* sleeper(statSync(pidFile).uid)
      writeFileSync(pidFile, [other, ...record.slice(1)].join("\n"))

      const second = yield* start(data)
      assert.deepStrictEqual(yield* keptRows(yield* second.url), [{ n: 42 }])
    }), within)

  it.scopedLive("says which line of the server's log explains a failed start", () =>
    Effect.gen(function*() {
      const data = yield* directory()
      const first = yield* start(data)
      yield* first.url
      yield* first.kill("SIGTERM")
      writeFileSync(join(data, "postgres", "PG_VERSION"), "9.6\n")
      const second = yield* start(data)
      const said = yield* second.output
      assert.include(said, "FAILED EmbeddedPostgresFault")
      assert.include(said, "database files are incompatible with server")
      assert.include(said, join(data, "postgres.log"))
    }), within)

  it.scopedLive("runs as an ordinary user", () =>
    Effect.gen(function*() {
      const data = yield* directory(ordinary)
      const service = yield* start(data, ordinary)
      assert.deepStrictEqual(yield* query(yield* service.url, "SELECT 1 AS one"), [{ one: 1 }])
      assert.strictEqual(statSync(join(data, "postgres")).uid, ordinary.uid ?? process.getuid?.())
      yield* service.kill("SIGTERM")
      assert.isTrue(Option.isNone(EmbeddedService.postmasterOf(data)))
    }), within)
})

describe.runIf(isRoot).concurrent("EmbeddedPostgres as root", () => {
  it.scopedLive(
    "puts the database elsewhere when its user cannot enter the data directory, and finds it again",
    () =>
      Effect.gen(function*() {
        const home = yield* directory()
        const data = join(home, "private", "data")
        mkdirSync(join(home, "private"), { mode: 0o700 })
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => rmSync(EmbeddedService.dataOf(data), { recursive: true, force: true }))
        )
        const first = yield* startWithRow(data)
        assert.match(EmbeddedService.dataOf(data), /^\/var\/lib\/deeper-hub-webhooks\/data-[0-9a-f]{12}$/)
        yield* first.service.said(EmbeddedService.dataOf(data))
        yield* first.service.kill("SIGTERM")

        const second = yield* start(data)
        assert.deepStrictEqual(yield* keptRows(yield* second.url), [{ n: 42 }])
        yield* second.kill("SIGTERM")
      }),
    within
  )

  it.scopedLive(
    "starts anew when the data directory was deleted, and keeps what lay outside of it",
    () =>
      Effect.gen(function*() {
        const home = yield* directory()
        const data = join(home, "private")
        mkdirSync(data, { mode: 0o700 })
        const first = yield* startWithRow(data)
        const outside = EmbeddedService.dataOf(data)
        yield* Effect.addFinalizer(() => removeAllBeside(outside))
        yield* first.service.kill("SIGKILL")
        rmSync(data, { recursive: true })
        mkdirSync(data, { mode: 0o700 })

        const second = yield* start(data)
        const rows = yield* query(yield* second.url, "SELECT to_regclass('kept')::text AS kept")
        assert.deepStrictEqual(rows, [{ kept: null }])
        yield* second.said(`set aside as ${outside}.unclaimed-`)
        yield* second.kill("SIGTERM")
      }),
    within
  )

  it.scopedLive("serves an ordinary user's database as that user", () =>
    Effect.gen(function*() {
      const data = yield* directory(ordinary)
      const first = yield* start(data, ordinary)
      yield* first.url
      yield* first.kill("SIGTERM")
      const second = yield* start(data)
      assert.deepStrictEqual(yield* query(yield* second.url, "SELECT 1 AS one"), [{ one: 1 }])
      yield* second.kill("SIGTERM")
    }), within)

  it.scopedLive("says what to do about a user without a passwd entry", () =>
    Effect.gen(function*() {
      const nameless = { uid: 54_321, gid: 54_321 }
      const service = yield* start(yield* directory(nameless), nameless)
      const said = yield* service.output
      assert.include(said, "uid 54321, which has no passwd entry")
      assert.include(said, "DATABASE_URL")
    }), within)
})
