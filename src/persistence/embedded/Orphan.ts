/** A server that outlived its service (`kill -9`): it still serves, and Postgres would refuse a second one. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Path from "node:path"
import { EmbeddedPostgresFault } from "./EmbeddedPostgresError.ts"
import * as Postmaster from "./Postmaster.ts"
import * as Processes from "./Processes.ts"
import * as SessionLock from "./SessionLock.ts"

const pidFile = (data: string) => Path.join(data, "postmaster.pid")

/** The working directory of a postmaster is its data directory, even after that was renamed. */
const servesFrom = Effect.fnUntraced(function*(pid: number, data: string) {
  const command = yield* Processes.commandLine(pid)
  if (!command.includes("postgres")) return false
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.match(fs.readLink(`/proc/${pid}/cwd`), {
    onFailure: () => command.includes(data),
    onSuccess: (folder) => folder === data
  })
})

const recorded = Effect.fnUntraced(function*(data: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* Effect.option(fs.readFileString(pidFile(data)))
  return Option.map(text, (content) => {
    const lines = content.split("\n")
    return { pid: Number(lines[0]), port: Number(lines[3] ?? 0), rest: lines.slice(1).join("\n") }
  })
})

/** The live server of these files, if there is one. */
export const find = Effect.fn("Orphan.find")(function*(data: string) {
  const record = yield* recorded(data)
  if (Option.isNone(record)) return Option.none()
  const { pid, port } = record.value
  const context = yield* Effect.context<FileSystem.FileSystem>()
  const born = yield* Processes.startTime(pid)
  if (Option.isNone(born) || !(yield* servesFrom(pid, data))) return Option.none()

  const isRunning = Processes.startTime(pid).pipe(
    Effect.map(Option.contains(born.value)),
    Effect.provide(context)
  )
  const postmaster: Postmaster.Postmaster = {
    pid,
    port,
    isRunning,
    ended: Effect.asVoid(
      Effect.repeat(isRunning, { while: (running) => running, schedule: Schedule.spaced("100 millis") })
    )
  }
  return Option.some(postmaster)
})

/**
 * Postgres trusts the pid in its lock file: when that number now belongs to
 * some other process, it refuses to start. It ignores the pid of its parent,
 * which we are; the rest of the file guards the shared memory and must stay.
 */
const disarm = Effect.fnUntraced(function*(data: string) {
  const fs = yield* FileSystem.FileSystem
  const record = yield* recorded(data)
  if (Option.isNone(record) || !(yield* Processes.isAlive(record.value.pid))) return
  yield* Effect.logWarning(`${pidFile(data)} names pid ${record.value.pid}, which now is another program; ignoring it`)
  yield* fs.writeFileString(pidFile(data), `${process.pid}\n${record.value.rest}`).pipe(
    EmbeddedPostgresFault.refail(`${pidFile(data)} is stale and cannot be changed`, "Remove it.")
  )
})

/**
 * Takes over a server that fits and stops one that does not. Its lock comes
 * first: a service that lost its lock file may still be at work on it.
 */
export const adopt = Effect.fn("Orphan.adopt")(function*(launch: Postmaster.Launch) {
  const { data, directory } = launch.placement
  const orphan = yield* find(data)
  if (Option.isNone(orphan)) {
    yield* disarm(data)
    return Option.none()
  }
  const { ended, pid, port } = orphan.value
  const state = yield* Effect.raceFirst(
    Effect.option(Postmaster.ready(orphan.value, launch.password)),
    Effect.as(ended, Option.none())
  )
  const lock = SessionLock.hold({ port, password: launch.password }, directory)
  if (Option.exists(state, ({ durable }) => durable === launch.durable)) {
    yield* lock
    yield* Postmaster.own(orphan.value)
    yield* Effect.logInfo(`Adopted the Postgres of a service that was killed (pid ${pid})`)
    return orphan
  }
  if (Option.isSome(state)) yield* Effect.scoped(Effect.zipRight(lock, Postmaster.stop(orphan.value)))
  else yield* Postmaster.stop(orphan.value)
  return Option.none()
})
