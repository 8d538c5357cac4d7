/**
 * One service a data directory. The lock file says who holds it; whether that
 * holder still lives is decided by its pid and start time, or, when it lives in
 * another container, by its socket: the kernel answers there for living
 * processes only, across all walls between containers.
 */
import { SystemError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import { closeSync, openSync } from "node:fs"
import { connect, createServer } from "node:net"
import * as Path from "node:path"
import { DataDirectoryInUse, EmbeddedPostgresFault } from "./EmbeddedPostgresError.ts"
import * as Processes from "./Processes.ts"

const Holder = Schema.parseJson(Schema.Struct({
  pid: Schema.Int,
  startTime: Schema.String,
  pidSpace: Schema.String,
  socket: Schema.String
}))
type Holder = typeof Holder.Type

class Taken extends Data.TaggedError("Taken")<{}> {}

/** Socket paths are limited to about 100 characters; on Linux the open folder gives any of them a short name. */
const shortName = (folder: string, descriptor: number) =>
  process.platform === "linux" ? `/proc/self/fd/${descriptor}` : folder

const openFolder = (folder: string) =>
  Effect.acquireRelease(
    Effect.sync(() => openSync(folder, "r")),
    (descriptor) => Effect.sync(() => closeSync(descriptor))
  )

/** Where sockets cannot be made (some network file systems) the lock does without. */
const listen = Effect.fnUntraced(function*(directory: string, name: string) {
  const folder = shortName(directory, yield* openFolder(directory))
  const server = createServer((socket) => socket.destroy()).unref()
  yield* Effect.acquireRelease(
    Effect.async<void>((resume) => {
      server.on("error", () => resume(Effect.void))
      server.listen(Path.join(folder, name), () => resume(Effect.void))
    }),
    () =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
      })
  )
})

/** Only a refusal proves the holder dead: whoever may not ask must not conclude. */
const answers = (directory: string, name: string) =>
  Effect.scoped(Effect.flatMap(openFolder(directory), (descriptor) =>
    Effect.async<boolean>((resume) => {
      const socket = connect(Path.join(shortName(directory, descriptor), name))
      const settle = (answered: boolean) => {
        socket.destroy()
        resume(Effect.succeed(answered))
      }
      socket.once("connect", () => settle(true))
      socket.once("error", (error: NodeJS.ErrnoException) =>
        settle(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"))
    })))

const isAlive = Effect.fnUntraced(function*(holder: Holder, directory: string) {
  if (holder.pidSpace !== (yield* Processes.pidSpace)) return yield* answers(directory, holder.socket)
  return Option.contains(yield* Processes.startTime(holder.pid), holder.startTime)
})

/** Removes a lock judged stale, unless somebody else did so first and has put a fresh one there. */
const removeStale = Effect.fnUntraced(function*(file: string, judged: string) {
  const fs = yield* FileSystem.FileSystem
  const aside = `${file}.${randomBytes(4).toString("hex")}`
  yield* fs.rename(file, aside)
  if ((yield* fs.readFileString(aside)) !== judged) yield* fs.link(aside, file)
  yield* fs.remove(aside)
})

/** Fails with `Taken` when another try may succeed. */
const examine = Effect.fnUntraced(function*(file: string) {
  const fs = yield* FileSystem.FileSystem
  const directory = Path.dirname(file)
  const text = yield* fs.readFileString(file)
  const holder = yield* Effect.option(Schema.decode(Holder)(text))
  if (Option.isSome(holder)) {
    const { pid, socket } = holder.value
    if (yield* isAlive(holder.value, directory)) return yield* new DataDirectoryInUse({ directory, pid })
    yield* removeStale(file, text)
    yield* Effect.ignore(fs.remove(Path.join(directory, socket)))
    yield* Effect.logWarning(`The last service on ${directory} (pid ${pid}) was killed; taking over`)
    return yield* new Taken()
  }
  // Its owner is about to write it, or died before it could, or the power failed.
  const { mtime } = yield* fs.stat(file)
  const now = yield* Clock.currentTimeMillis
  if (!Option.exists(mtime, (written) => now - written.getTime() < 1000)) yield* removeStale(file, text)
  return yield* new Taken()
})

const claim = Effect.fnUntraced(function*(file: string, content: string) {
  const fs = yield* FileSystem.FileSystem
  yield* Effect.catchIf(
    fs.writeFileString(file, content, { flag: "wx", mode: 0o644 }),
    (error) => error instanceof SystemError && error.reason === "AlreadyExists",
    () => examine(file)
  )
})

const release = Effect.fnUntraced(function*(file: string, content: string) {
  const fs = yield* FileSystem.FileSystem
  if ((yield* fs.readFileString(file)) === content) yield* fs.remove(file)
}, Effect.ignore)

/** Held until the scope closes. */
export const acquire = Effect.fn("DataLock.acquire")(function*(directory: string) {
  const file = Path.join(directory, "service.lock")
  const socket = `service.${randomBytes(4).toString("hex")}.sock`
  yield* listen(directory, socket)
  const content = yield* Effect.orDie(
    Schema.encode(Holder)({
      pid: process.pid,
      startTime: Option.getOrElse(yield* Processes.startTime(process.pid), () => ""),
      pidSpace: yield* Processes.pidSpace,
      socket
    })
  )
  const claimed = Effect.retry(claim(file, content), {
    while: (error) => error instanceof Taken || (error instanceof SystemError && error.reason === "NotFound"),
    schedule: Schedule.upTo(Schedule.spaced("50 millis"), "5 seconds")
  })
  yield* Effect.acquireRelease(claimed, () => release(file, content)).pipe(
    Effect.mapError((cause) =>
      cause instanceof DataDirectoryInUse ? cause : new EmbeddedPostgresFault({
        problem: `The lock file ${file} could not be made${cause instanceof Taken ? "" : `: ${cause.message}`}`,
        advice: "Run the service as the owner of that directory; if no service runs, remove the file.",
        cause
      })
    )
  )
})
