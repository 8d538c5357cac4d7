/** What the operating system knows of processes. Pids repeat; a pid together with its start time does not. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { execFile } from "node:child_process"

/** Whose rights a child process runs with; nothing means ours. */
export interface Identity {
  readonly uid?: number
  readonly gid?: number
}

export interface Finished {
  /** The exit code, or the name of what kept the process from running (`EACCES`, `SIGKILL`, …). */
  readonly code: number | string
  readonly output: string
}

/**
 * Runs a program to its end. It inherits no environment: `PG…` and locale
 * variables of ours must not change what Postgres does. Its folder is `/`,
 * because ours may be one that `identity` cannot enter.
 */
export const run = (
  command: string,
  args: ReadonlyArray<string>,
  identity: Identity = {}
): Effect.Effect<Finished> =>
  Effect.async((resume, signal) => {
    execFile(
      command,
      args,
      { ...identity, cwd: "/", env: environment, signal, maxBuffer: 16 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : error.code ?? error.signal ?? error.message
        resume(Effect.succeed({ code, output: `${stdout}${stderr}`.trim() }))
      }
    )
  })

/** English messages, because we read them; UTC, because else `initdb` tries every time zone of the machine. */
export const environment = { LC_ALL: "C", PATH: "/usr/sbin:/usr/bin:/sbin:/bin", TZ: "UTC" }

/** When a process began, in the units of its platform; none when it is gone or only waits to be reaped. */
export const startTime: (pid: number) => Effect.Effect<Option.Option<string>, never, FileSystem.FileSystem> = Effect
  .fnUntraced(function*(pid: number) {
    if (process.platform !== "linux") {
      const { code, output } = yield* run("ps", ["-o", "state=,lstart=", "-p", String(pid)])
      return code === 0 && !output.startsWith("Z") ? Option.some(output.slice(1).trim()) : Option.none()
    }
    const fs = yield* FileSystem.FileSystem
    const stat = yield* Effect.option(fs.readFileString(`/proc/${pid}/stat`))
    return Option.flatMap(stat, (line) => {
      // The second field is the program's name in brackets and may hold blanks and brackets itself.
      const fields = line.slice(line.lastIndexOf(")") + 2).split(" ")
      return fields[0] === "Z" || fields[0] === "X" ? Option.none() : Option.fromNullable(fields[19])
    })
  })

export const isAlive = (pid: number) => Effect.map(startTime(pid), Option.isSome)

export const commandLine = Effect.fnUntraced(function*(pid: number) {
  if (process.platform !== "linux") {
    return (yield* run("ps", ["-ww", "-o", "command=", "-p", String(pid)])).output
  }
  const fs = yield* FileSystem.FileSystem
  const raw = yield* Effect.orElseSucceed(fs.readFileString(`/proc/${pid}/cmdline`), () => "")
  return raw.replaceAll("\0", " ").trim()
})

/** A process that is gone already needs no signal. */
export const signal = (pid: number, name: NodeJS.Signals): Effect.Effect<void> =>
  Effect.ignore(Effect.try(() => process.kill(pid, name)))

/** Where a pid means what it means: this boot of this machine, seen from this container. */
export const pidSpace: Effect.Effect<string, never, FileSystem.FileSystem> = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const boot = yield* Effect.orElseSucceed(fs.readFileString("/proc/sys/kernel/random/boot_id"), () => "")
  const namespace = yield* Effect.orElseSucceed(fs.readLink("/proc/self/ns/pid"), () => "")
  return `${boot.trim()} ${namespace}`
})
