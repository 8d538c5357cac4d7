import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Logger, LogLevel, Scope } from "effect"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as DataLock from "../../../src/persistence/embedded/DataLock.ts"
import { DataDirectoryInUse } from "../../../src/persistence/embedded/EmbeddedPostgresError.ts"

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "deeper-hub-webhooks-lock-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

const acquire = (directory: string) =>
  DataLock.acquire(directory).pipe(Effect.provide(NodeFileSystem.layer), Logger.withMinimumLogLevel(LogLevel.Error))

const fileIn = (directory: string) => join(directory, "service.lock")

/** Changes what the lock says about its holder, without touching the holder. */
const rewrite = (directory: string, change: Record<string, unknown>) => {
  const said = JSON.parse(readFileSync(fileIn(directory), "utf8"))
  writeFileSync(fileIn(directory), JSON.stringify({ ...said, ...change }))
}

const inUse = (directory: string) =>
  Effect.map(Effect.flip(Effect.scoped(acquire(directory))), (error) => {
    assert.instanceOf(error, DataDirectoryInUse)
    return error
  })

const otherContainer = { pidSpace: "this-boot pid:[another]" }

describe("DataLock", () => {
  it.scopedLive("is held by one and leaves nothing behind", () =>
    Effect.gen(function*() {
      const directory = yield* temporary
      yield* Effect.scoped(Effect.zipRight(acquire(directory), inUse(directory)))
      assert.deepStrictEqual(readdirSync(directory), [])
    }))

  it.scopedLive("says who holds it and what to do", () =>
    Effect.gen(function*() {
      const directory = yield* temporary
      yield* acquire(directory)
      const error = yield* inUse(directory)
      assert.include(error.message, `${directory} is already used by a running service (pid ${process.pid})`)
      assert.include(error.message, "Stop that one first")
    }))

  it.scopedLive("is taken from a dead holder whose pid another process has now", () =>
    Effect.gen(function*() {
      const directory = yield* temporary
      yield* Effect.scoped(Effect.gen(function*() {
        yield* acquire(directory)
        rewrite(directory, { startTime: "1" })
      }))
      yield* acquire(directory)
      yield* inUse(directory)
    }))

  it.scopedLive("respects a holder in another container, where its pid means nothing", () =>
    Effect.gen(function*() {
      const directory = yield* temporary
      yield* acquire(directory)
      rewrite(directory, { ...otherContainer, pid: 1 })
      yield* inUse(directory)
    }))

  it.scopedLive("is taken from a holder that died in another container", () =>
    Effect.gen(function*() {
      const directory = yield* temporary
      yield* Effect.scoped(Effect.gen(function*() {
        yield* acquire(directory)
        rewrite(directory, { ...otherContainer, pid: process.pid })
      }))
      assert.deepStrictEqual(readdirSync(directory), ["service.lock"])
      yield* acquire(directory)
      yield* inUse(directory)
    }))

  it.scopedLive("is taken when a power failure left it empty", () =>
    Effect.gen(function*() {
      const directory = yield* temporary
      writeFileSync(fileIn(directory), "")
      utimesSync(fileIn(directory), 1, 1)
      yield* acquire(directory)
      yield* inUse(directory)
    }))

  it.scopedLive("goes to exactly one of many who find it stale at once", () =>
    Effect.gen(function*() {
      const directory = yield* temporary
      yield* Effect.scoped(Effect.gen(function*() {
        yield* acquire(directory)
        rewrite(directory, { startTime: "1" })
      }))
      const scope = yield* Effect.scope
      const outcomes = yield* Effect.all(
        Array.from({ length: 8 }, () => Effect.exit(Scope.extend(acquire(directory), scope))),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(outcomes.filter(Exit.isSuccess), 1)
    }))

  it.scopedLive("can be held in a directory whose path is longer than a socket's may be", () =>
    Effect.gen(function*() {
      const directory = join(yield* temporary, "a".repeat(120))
      yield* Effect.sync(() => mkdirSync(directory))
      yield* acquire(directory)
      rewrite(directory, otherContainer)
      yield* inUse(directory)
    }))
})
