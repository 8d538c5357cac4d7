/** Makes the database files, once, with a password of their own. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { randomBytes } from "node:crypto"
import { chown } from "node:fs/promises"
import * as Path from "node:path"
import type { Account } from "./Account.ts"
import type { Binaries } from "./Binaries.ts"
import { EmbeddedPostgresFault, orUseDatabaseUrl } from "./EmbeddedPostgresError.ts"
import * as Orphan from "./Orphan.ts"
import type { Placement } from "./Placement.ts"
import * as Postmaster from "./Postmaster.ts"
import * as Processes from "./Processes.ts"
import { role } from "./Session.ts"

const readPassword = Effect.fnUntraced(function*(placement: Placement) {
  const fs = yield* FileSystem.FileSystem
  return Redacted.make((yield* fs.readFileString(placement.password)).trim())
}, (effect, placement) =>
  effect.pipe(EmbeddedPostgresFault.refail(
    `The password of the database in ${placement.data} cannot be read from ${placement.password}`,
    `Bring that file back or run as its owner; to begin anew, move ${placement.directory} away`
  )))

/** Written before the database exists and renamed into place: a database never lacks its password. */
const makePassword = Effect.fnUntraced(function*({ password }: Placement) {
  const fs = yield* FileSystem.FileSystem
  if (yield* fs.exists(password)) return
  const draft = `${password}.${randomBytes(4).toString("hex")}`
  yield* fs.writeFileString(draft, `${randomBytes(24).toString("base64url")}\n`, { mode: 0o600 })
  yield* fs.rename(draft, password)
})

const give = (account: Account, file: string) =>
  Effect.gen(function*() {
    const { gid, uid } = account.identity
    if (uid !== undefined && gid !== undefined) yield* Effect.tryPromise(() => chown(file, uid, gid))
  })

/** Makes a rename survive a power failure. */
const syncFolder = (folder: string) =>
  Effect.scoped(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const handle = yield* fs.open(folder, { flag: "r" })
    yield* handle.sync
  }))

const initdb = Effect.fnUntraced(
  function*(binaries: Binaries, account: Account, workshop: string, durable: boolean) {
    const args = [
      `--pgdata=${Path.join(workshop, "data")}`,
      `--pwfile=${Path.join(workshop, "password")}`,
      `--username=${role}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      // The built-in locale sorts alike on every machine; libraries of the system change their minds.
      "--locale=C",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      "--data-checksums",
      "--no-instructions",
      ...(durable ? [] : ["--no-sync"])
    ]
    const { code, output } = yield* Processes.run(binaries.initdb, args, account.identity)
    if (code === 0) return
    return yield* new EmbeddedPostgresFault({
      problem: `initdb could not make a database in ${workshop} (${code}): ${output}`,
      advice: `Remedy what it says, ${orUseDatabaseUrl}`
    })
  }
)

/** Half-made databases of starts that were killed. What an orphaned `initdb` still writes to goes next time. */
const sweep = Effect.fnUntraced(function*({ data }: Placement) {
  const fs = yield* FileSystem.FileSystem
  const folder = Path.dirname(data)
  const leftovers = (yield* fs.readDirectory(folder)).filter((name) =>
    name.startsWith(`${Path.basename(data)}.initdb-`)
  )
  yield* Effect.forEach(
    leftovers,
    (name) => Effect.ignore(fs.remove(Path.join(folder, name), { recursive: true, force: true })),
    { discard: true }
  )
})

/** Builds the database in a workshop beside its place and renames it at the end: it is complete or not there. */
const build = Effect.fnUntraced(
  function*(placement: Placement, binaries: Binaries, account: Account, durable: boolean) {
    const fs = yield* FileSystem.FileSystem
    const folder = Path.dirname(placement.data)
    const workshop = `${placement.data}.initdb-${randomBytes(4).toString("hex")}`
    yield* fs.makeDirectory(folder, { recursive: true, mode: 0o755 })
    yield* makePassword(placement)
    yield* Effect.gen(function*() {
      yield* fs.makeDirectory(workshop, { mode: 0o700 })
      yield* fs.copyFile(placement.password, Path.join(workshop, "password"))
      yield* give(account, Path.join(workshop, "password"))
      yield* give(account, workshop)
      yield* initdb(binaries, account, workshop, durable)
      yield* fs.rename(Path.join(workshop, "data"), placement.data)
      yield* syncFolder(folder)
    }).pipe(Effect.ensuring(Effect.ignore(fs.remove(workshop, { recursive: true, force: true }))))
  },
  (effect, placement) =>
    Effect.mapError(effect, (cause) =>
      cause instanceof EmbeddedPostgresFault
        ? cause
        : new EmbeddedPostgresFault({
          problem: `No database could be made in ${placement.data}: ${cause.message}`,
          advice: `Make its parent folder writable for this user, ${orUseDatabaseUrl}`,
          cause
        }))
)

/**
 * Whoever deletes the data directory wants to start anew. What lies outside of
 * it is out of their sight, so it is kept; without its password it is no use.
 */
const setAside = Effect.fnUntraced(
  function*({ data, directory, location, password }: Placement) {
    const fs = yield* FileSystem.FileSystem
    if (Path.dirname(data) === directory || !(yield* fs.exists(data))) return
    if ((yield* fs.exists(password)) || (yield* fs.exists(location))) return
    yield* Effect.flatMap(Orphan.find(data), Option.match({ onNone: () => Effect.void, onSome: Postmaster.stop }))
    const aside = `${data}.unclaimed-${randomBytes(4).toString("hex")}`
    yield* fs.rename(data, aside)
    yield* Effect.logWarning(
      `The database of a former ${directory} was set aside as ${aside}; remove it if it is not needed`
    )
  },
  (effect, { data }) =>
    effect.pipe(EmbeddedPostgresFault.refail(`The former database ${data} cannot be set aside`, "Move it away."))
)

/** The password of the database, which is made if it is not there yet. */
export const ensure = Effect.fn("Cluster.ensure")(
  function*(placement: Placement, binaries: Binaries, account: Account, durable: boolean) {
    const fs = yield* FileSystem.FileSystem
    yield* setAside(placement)
    const exists = yield* fs.exists(Path.join(placement.data, "PG_VERSION")).pipe(
      EmbeddedPostgresFault.refail(`The database in ${placement.data} cannot be read`, "Run the service as its owner.")
    )
    if (!exists) {
      yield* Effect.logInfo(`Making a database in ${placement.data}`)
      yield* build(placement, binaries, account, durable)
    }
    yield* Effect.ignore(sweep(placement))
    return yield* readPassword(placement)
  }
)
