/** Who runs Postgres. It refuses root, so root lends its place to the system user `postgres`. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { userInfo } from "node:os"
import * as Path from "node:path"
import { EmbeddedPostgresFault, orUseDatabaseUrl } from "./EmbeddedPostgresError.ts"
import * as Processes from "./Processes.ts"

export interface Account {
  readonly name: string
  /** The rights to hand to a child process; empty when they are our own. */
  readonly identity: Processes.Identity
}

const systemUser = "postgres"

const processUid = () => process.getuid?.() ?? -1

const self = Effect.try({
  try: (): Account => ({ name: userInfo().username, identity: {} }),
  catch: (cause) =>
    new EmbeddedPostgresFault({
      problem: `The service runs as uid ${processUid()}, which has no passwd entry, and Postgres refuses such a user`,
      advice: `Run it as a user of /etc/passwd (Docker: --user root or --user node), add a line for this uid, ` +
        orUseDatabaseUrl,
      cause
    })
})

const lookUp = Effect.fnUntraced(function*(name: string) {
  const uid = yield* Processes.run("id", ["-u", name])
  const gid = yield* Processes.run("id", ["-g", name])
  return uid.code === 0 && gid.code === 0
    ? { name, identity: { uid: Number(uid.output), gid: Number(gid.output) } }
    : undefined
})

const lent = Effect.gen(function*() {
  const existing = yield* lookUp(systemUser)
  if (existing !== undefined) return existing

  const made = yield* Processes.run("useradd", ["--system", "--user-group", "--shell", "/bin/false", systemUser])
  const account = yield* lookUp(systemUser)
  if (account !== undefined) {
    yield* Effect.logInfo(`Created the system user ${systemUser}: Postgres refuses to run as root`)
    return account
  }
  return yield* new EmbeddedPostgresFault({
    problem: `Postgres refuses to run as root, and the system user ${systemUser} could not be created ` +
      `(useradd: ${made.output || made.code})`,
    advice: `Create that user, run the service as an ordinary user, ${orUseDatabaseUrl}`
  })
})

/** A database made by an ordinary user stays theirs when root runs the service once (`sudo`). */
const ownerOf = Effect.fnUntraced(function*(data: string) {
  const fs = yield* FileSystem.FileSystem
  const info = yield* Effect.option(fs.stat(data))
  return Option.flatMap(
    info,
    ({ gid, uid }) =>
      Option.map(Option.filter(Option.all({ gid, uid }), (owner) => owner.uid !== 0), (identity): Account => ({
        name: `with uid ${identity.uid}`,
        identity
      }))
  )
})

/** Ourselves, unless we are root: then the owner of the data, or else `postgres`, made if missing. */
export const resolve = Effect.fn("Account.resolve")(function*(directory: string) {
  if (processUid() !== 0) return yield* self
  const owner = yield* ownerOf(Path.join(directory, "postgres"))
  return Option.isSome(owner) ? owner.value : yield* lent
})
