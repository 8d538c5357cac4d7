import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { chmodSync, cpSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as Account from "../../../src/persistence/embedded/Account.ts"
import * as Binaries from "../../../src/persistence/embedded/Binaries.ts"
import * as Processes from "../../../src/persistence/embedded/Processes.ts"

const within = { timeout: 30_000 }
const isRoot = process.getuid?.() === 0

/** A folder with the npm package as a blocked postinstall script leaves it, and one for copies. */
const withoutLinks = Effect.gen(function*() {
  const native = yield* Binaries.locate
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "deeper-hub-webhooks-binaries-"))),
    (made) =>
      Effect.sync(() => {
        chmodSync(join(made, "package", "native", "lib"), 0o755)
        rmSync(made, { recursive: true, force: true })
      })
  )
  chmodSync(folder, 0o755)
  cpSync(dirname(native), join(folder, "package"), {
    recursive: true,
    filter: (source) => !lstatSync(source).isSymbolicLink() && !source.endsWith(".a")
  })
  mkdirSync(join(folder, "copies"))
  return { native: join(folder, "package", "native"), copies: join(folder, "copies") }
})

const versionOf = (binaries: Binaries.Binaries, account: Account.Account) =>
  Effect.map(Processes.run(binaries.initdb, ["--version"], account.identity), ({ output }) => output)

describe("Binaries", () => {
  it.scopedLive("makes the library links that npm's blocked script did not make", () =>
    Effect.gen(function*() {
      const account = yield* Account.resolve("/nonexistent")
      const { copies, native } = yield* withoutLinks
      const binaries = yield* Binaries.prepare(native, account, copies)
      assert.strictEqual(binaries.postgres, join(native, "bin", "postgres"))
      assert.match(yield* versionOf(binaries, account), /^initdb \(PostgreSQL\) 18/)
      assert.deepStrictEqual(readdirSync(copies), [])
    }).pipe(Effect.provide(NodeFileSystem.layer)), within)

  it.scopedLive("copies the programs once when they cannot be used where they are", () =>
    Effect.gen(function*() {
      const account = yield* Account.resolve("/nonexistent")
      const { copies, native } = yield* withoutLinks
      // Root may write anywhere, but the user of Postgres may not enter here; others may not write here.
      chmodSync(isRoot ? native : join(native, "lib"), isRoot ? 0o700 : 0o555)
      const binaries = yield* Binaries.prepare(native, account, copies)
      assert.isTrue(binaries.postgres.startsWith(copies))
      assert.match(yield* versionOf(binaries, account), /^initdb \(PostgreSQL\) 18/)
      assert.isTrue(existsSync(join(dirname(dirname(binaries.postgres)), "share", "postgresql", "postgres.bki")))
      assert.deepStrictEqual(yield* Binaries.prepare(native, account, copies), binaries)
      assert.lengthOf(readdirSync(copies), 1)
    }).pipe(Effect.provide(NodeFileSystem.layer)), within)
})
