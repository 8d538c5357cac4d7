/** Decides where the database's files lie: in the data directory, unless the account cannot get there. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { createHash } from "node:crypto"
import * as Path from "node:path"
import type { Account } from "./Account.ts"
import { EmbeddedPostgresFault, orUseDatabaseUrl } from "./EmbeddedPostgresError.ts"
import * as Processes from "./Processes.ts"

/** Where root puts what the user `postgres` could not reach, such as a checkout below `/root`. */
const systemFolder = "/var/lib/deeper-hub-webhooks"

export interface Placement {
  /** The data directory that was asked for: password, log and lock are always there. */
  readonly directory: string
  /** What Postgres calls its data directory. */
  readonly data: string
  readonly log: string
  readonly password: string
  /** A file that names `data` when that lies outside of `directory`. */
  readonly location: string
}

/** Where copies of the programs go: root shares one among all data directories. */
export const copiesFolder = ({ directory }: Placement) => process.getuid?.() === 0 ? systemFolder : directory

const canEnter = (account: Account, folder: string) =>
  Effect.map(
    Processes.run("/bin/sh", ["-c", "cd -- \"$0\"", folder], account.identity),
    ({ code }) => code === 0
  )

const ancestors = (folder: string): ReadonlyArray<string> =>
  folder === Path.dirname(folder) ? [folder] : [...ancestors(Path.dirname(folder)), folder]

const unreachable = Effect.fnUntraced(function*(account: Account, data: string) {
  const barrier = yield* Effect.findFirst(
    ancestors(data),
    (folder) => Effect.map(canEnter(account, folder), (entered) => !entered)
  )
  const folder = Option.getOrElse(barrier, () => data)
  return yield* new EmbeddedPostgresFault({
    problem: `The database in ${data} runs as user ${account.name}, who may not enter ${folder}`,
    advice: `Let that user in (chmod o+x ${folder}), run the service as the owner of the data, ${orUseDatabaseUrl}`
  })
})

/** Makes the data directory and names it by its real path, so that one directory has one name. */
export const prepareDirectory = Effect.fnUntraced(function*(dataDirectory: string) {
  const fs = yield* FileSystem.FileSystem
  const directory = Path.resolve(dataDirectory)
  return yield* Effect.gen(function*() {
    if (!(yield* fs.exists(directory))) {
      yield* fs.makeDirectory(directory, { recursive: true })
      // Whatever the umask says: a Postgres run by root must pass. Each file inside guards itself.
      yield* fs.chmod(directory, 0o755)
    }
    return yield* fs.realPath(directory)
  }).pipe(EmbeddedPostgresFault.refail(
    `The data directory ${directory} cannot be used`,
    `Choose one that this user may write to, ${orUseDatabaseUrl}`
  ))
})

const locationIn = (directory: string) => Path.join(directory, "postgres.location")

/**
 * A database stays where it was first put. `postgres.location` remembers a
 * place outside, so that neither a changed mode nor a move of the directory
 * makes the service start over with an empty one.
 */
const placeOf = Effect.fnUntraced(function*(directory: string, account: Account) {
  const fs = yield* FileSystem.FileSystem
  const inside = Path.join(directory, "postgres")
  const locationFile = locationIn(directory)
  if (yield* fs.exists(locationFile)) {
    const data = (yield* fs.readFileString(locationFile)).trim()
    if (yield* fs.exists(data)) return data
    return yield* new EmbeddedPostgresFault({
      problem: `${locationFile} says that the database lies in ${data}, which does not exist`,
      advice: "Bring that folder back, or remove the file to begin with an empty database."
    })
  }
  if (yield* fs.exists(Path.join(inside, "PG_VERSION"))) {
    if (yield* canEnter(account, inside)) return inside
    return yield* unreachable(account, inside)
  }
  if (yield* canEnter(account, directory)) return inside
  const name = `data-${createHash("sha256").update(directory).digest("hex").slice(0, 12)}`
  return Path.join(systemFolder, name)
})

export const resolve = Effect.fn("Placement.resolve")(function*(directory: string, account: Account) {
  const data = yield* Effect.catchTags(placeOf(directory, account), {
    BadArgument: Effect.die,
    SystemError: (cause) =>
      new EmbeddedPostgresFault({
        problem: `The data directory ${directory} cannot be read: ${cause.message}`,
        advice: "Run the service as the user that owns it.",
        cause
      })
  })
  const placement: Placement = {
    directory,
    data,
    log: Path.join(directory, "postgres.log"),
    password: Path.join(directory, "postgres.password"),
    location: locationIn(directory)
  }
  return placement
})

/** Written once the database exists, since an interrupted first start must not leave a pointer to nothing. */
export const remember = Effect.fnUntraced(
  function*({ data, directory, location }: Placement) {
    const fs = yield* FileSystem.FileSystem
    if (Path.dirname(data) === directory || (yield* fs.exists(location))) return
    yield* fs.writeFileString(location, `${data}\n`)
    yield* Effect.logWarning(
      `The database lies in ${data}, because the user of Postgres cannot enter ${directory}; keep and back up both`
    )
  },
  (effect, { location }) =>
    effect.pipe(EmbeddedPostgresFault.refail(`${location} cannot be written`, "Run the service as its owner."))
)
