/**
 * One Postgres for the whole test run, in a temporary directory, or the one that
 * TEST_DATABASE_URL names. Test files make their databases on it: see PgTest.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Config, Effect, Exit, Logger, LogLevel, Option, Redacted, Scope } from "effect"
import { randomBytes } from "node:crypto"
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Client } from "pg"
import type { TestProject } from "vitest/node"
import * as DataLock from "../../src/persistence/embedded/DataLock.ts"
import * as Orphan from "../../src/persistence/embedded/Orphan.ts"
import * as Postmaster from "../../src/persistence/embedded/Postmaster.ts"
import { acquire } from "../../src/persistence/EmbeddedPostgres.ts"

declare module "vitest" {
  interface ProvidedContext {
    readonly testPostgres: {
      readonly url: string
      /** Stands in the name of every database of this run. */
      readonly run: string
    }
  }
}

const prefix = "deeper-hub-webhooks-test-"

const remove = (directory: string) => Effect.promise(() => rm(directory, { recursive: true, force: true }))

const temporaryDirectory = Effect.acquireRelease(
  Effect.promise(async () => {
    const directory = await mkdtemp(join(tmpdir(), prefix))
    // When root runs the tests, the user of Postgres has to get in.
    await chmod(directory, 0o755)
    return directory
  }),
  remove
)

/** An interrupted run leaves its directory behind, a killed one its server; one that is at work holds its lock. */
const clearUp = (directory: string) =>
  Effect.gen(function*() {
    yield* DataLock.acquire(directory)
    yield* Effect.flatMap(
      Orphan.find(join(directory, "postgres")),
      Option.match({ onNone: () => Effect.void, onSome: Postmaster.stop })
    )
    yield* remove(directory)
  }).pipe(Effect.scoped, Effect.ignore, Effect.provide(NodeFileSystem.layer))

const clearUpAfterOthers = Effect.gen(function*() {
  const names = yield* Effect.promise(() => readdir(tmpdir()))
  for (const name of names.filter((candidate) => candidate.startsWith(prefix))) {
    const directory = join(tmpdir(), name)
    const files = yield* Effect.orElseSucceed(Effect.tryPromise(() => readdir(directory)), (): Array<string> => [])
    // Without a lock file another run has only just made it.
    if (files.includes("service.lock")) yield* clearUp(directory)
  }
})

const embedded = Effect.gen(function*() {
  yield* clearUpAfterOthers
  const { url } = yield* acquire({ dataDirectory: yield* temporaryDirectory, durable: false })
  return Redacted.value(url)
}).pipe(Logger.withMinimumLogLevel(LogLevel.Error))

const dropDatabases = async (url: string, run: string) => {
  const client = new Client(url)
  await client.connect()
  const { rows } = await client.query<{ datname: string }>(
    "SELECT datname FROM pg_database WHERE starts_with(datname, $1)",
    [`${run}_`]
  )
  await Promise.all(rows.map(({ datname }) => client.query(`DROP DATABASE IF EXISTS ${datname} WITH (FORCE)`)))
  await client.end()
}

const server = Effect.gen(function*() {
  const given = yield* Effect.orDie(Config.option(Config.string("TEST_DATABASE_URL")))
  const run = `test_${randomBytes(4).toString("hex")}`
  if (Option.isNone(given)) return { url: yield* embedded, run }
  yield* Effect.addFinalizer(() => Effect.promise(() => dropDatabases(given.value, run)))
  return { url: given.value, run }
})

export default async (project: TestProject) => {
  const scope = Effect.runSync(Scope.make())
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void))
  try {
    project.provide("testPostgres", await Effect.runPromise(Scope.extend(server, scope)))
  } catch (error) {
    await close()
    throw error
  }
  return close
}
