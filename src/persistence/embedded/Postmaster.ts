/** The server process: starting it, knowing when it is ready, stopping it. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import { createServer } from "node:net"
import type { Account } from "./Account.ts"
import type { Binaries } from "./Binaries.ts"
import { EmbeddedPostgresFault, orUseDatabaseUrl } from "./EmbeddedPostgresError.ts"
import type { Placement } from "./Placement.ts"
import * as Processes from "./Processes.ts"
import * as Session from "./Session.ts"

export interface Postmaster {
  readonly pid: number
  readonly port: number
  readonly isRunning: Effect.Effect<boolean>
  /** Returns when the process has ended, for whatever reason. */
  readonly ended: Effect.Effect<void>
}

/** What it takes to start the server of one data directory. */
export interface Launch {
  readonly placement: Placement
  readonly binaries: Binaries
  readonly account: Account
  readonly password: Redacted.Redacted
  /** False trades the data's survival of a crash for speed: only tests want that. */
  readonly durable: boolean
}

class LaunchFailed extends Data.TaggedError("LaunchFailed")<{
  readonly reason: "PortTaken" | "StillInUse" | "Failed"
  readonly message: string
}> {}

const settings = ({ durable, placement }: Launch, port: number): ReadonlyArray<string> => [
  "-D",
  placement.data,
  ...Object.entries({
    listen_addresses: "127.0.0.1",
    port,
    // A socket would need a folder short enough for its path and closed to others.
    unix_socket_directories: "",
    max_connections: 100,
    shared_buffers: "128MB",
    max_wal_size: "1GB",
    // Whoever sends what lies all over a large table writes whole pages to the log: after each checkpoint, every one of them.
    wal_compression: "on",
    timezone: "UTC",
    log_timezone: "UTC",
    log_checkpoints: "off",
    // Statements and rows may carry what must not appear in a log.
    log_error_verbosity: "terse",
    log_min_error_statement: "panic",
    ...(durable ? {} : { fsync: "off", synchronous_commit: "off", full_page_writes: "off" })
  }).flatMap(([name, value]) => ["-c", `${name}=${value}`])
]

const freePort = Effect.async<number, LaunchFailed>((resume) => {
  const server = createServer()
  server.once(
    "error",
    (cause) => resume(new LaunchFailed({ reason: "Failed", message: `No free port on 127.0.0.1: ${cause.message}` }))
  )
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(address !== null && typeof address === "object" ? address.port : 0)))
  })
})

const spawnServer = (launch: Launch, port: number): Effect.Effect<Postmaster, LaunchFailed> =>
  Effect.gen(function*() {
    const ended = yield* Deferred.make<void>()
    const end = () => Deferred.unsafeDone(ended, Effect.void)
    const child = yield* Effect.try({
      try: () => {
        const log = openSync(launch.placement.log, "a", 0o600)
        // In a session of its own: Ctrl-C in the terminal must not stop it before the service has drained.
        const started = spawn(launch.binaries.postgres, settings(launch, port), {
          ...launch.account.identity,
          cwd: "/",
          env: Processes.environment,
          detached: true,
          stdio: ["ignore", log, log]
        })
        closeSync(log)
        started.once("error", end).once("exit", end).unref()
        return started
      },
      catch: (cause) => new LaunchFailed({ reason: "Failed", message: String(cause) })
    })
    if (child.pid === undefined) {
      return yield* new LaunchFailed({ reason: "Failed", message: `${launch.binaries.postgres} cannot be executed` })
    }
    return {
      pid: child.pid,
      port,
      isRunning: Effect.map(Deferred.isDone(ended), (done) => !done),
      ended: Deferred.await(ended)
    }
  })

/** Fast shutdown; a server that does not obey is told ever more plainly, and recovers at its next start. */
export const stop = Effect.fn("Postmaster.stop")(function*(postmaster: Postmaster) {
  for (
    const [signal, patience] of [["SIGINT", "10 seconds"], ["SIGQUIT", "6 seconds"], ["SIGKILL", "2 seconds"]] as const
  ) {
    if (!(yield* postmaster.isRunning)) return
    yield* Processes.signal(postmaster.pid, signal)
    yield* postmaster.ended.pipe(Effect.interruptible, Effect.timeoutOption(patience))
  }
})

/** Stops the server with the scope, and when this process ends without closing its scopes. */
export const own = Effect.fnUntraced(function*(postmaster: Postmaster) {
  const lastResort = () => {
    Effect.runSync(Processes.signal(postmaster.pid, "SIGINT"))
  }
  const forget = Effect.sync(() => process.off("exit", lastResort))
  yield* Effect.acquireRelease(
    // First in line: a listener that calls `process.exit` itself, as Vitest's does, ends the line.
    Effect.sync(() => process.prependOnceListener("exit", lastResort)),
    () => Effect.zipRight(stop(postmaster), forget)
  )
  // Its pid may go to another process once it has ended.
  yield* Effect.forkScoped(Effect.interruptible(Effect.zipRight(postmaster.ended, forget)))
})

const isRecovering = (error: Session.SessionError) => error.code === "57P03"

// Without a code: the time to connect ran out, or the server went away meanwhile.
const isDeaf = (error: Session.SessionError) => ["", "ECONNREFUSED", "ECONNRESET", "EPIPE"].includes(error.code)

/** A server that answers "starting up" replays its log, which may take long; one that does not answer is broken. */
export const ready = (postmaster: Postmaster, password: Redacted.Redacted) =>
  Session.query({ port: postmaster.port, password }, "SELECT current_setting('fsync') AS fsync").pipe(
    Effect.map((rows) => ({ durable: rows[0]?.["fsync"] === "on" })),
    Effect.retry({ while: isDeaf, schedule: Schedule.upTo(Schedule.spaced("25 millis"), "15 seconds") }),
    Effect.retry({ while: isRecovering, schedule: Schedule.upTo(Schedule.spaced("50 millis"), "5 minutes") })
  )

/** What the server wrote since `offset`: its FATAL lines, or the last ones. */
const complaint = Effect.fnUntraced(function*(file: string, offset: number) {
  const fs = yield* FileSystem.FileSystem
  const written = yield* Effect.orElseSucceed(fs.readFile(file), () => new Uint8Array())
  const lines = new TextDecoder().decode(written.subarray(offset)).trim().split("\n")
  const fatal = lines.filter((line) => /FATAL|PANIC/.test(line))
  const text = lines.join("\n")
  return new LaunchFailed({
    reason: /could not bind|could not create any TCP/.test(text)
      ? "PortTaken"
      : /pre-existing shared memory block|lock file "postmaster.pid" already exists/.test(text)
      ? "StillInUse"
      : "Failed",
    message: (fatal.length > 0 ? fatal : lines).slice(-5).join("\n") || "it wrote nothing to its log"
  })
})

const rotateLog = Effect.fnUntraced(function*(log: string) {
  const fs = yield* FileSystem.FileSystem
  const size = yield* fs.stat(log).pipe(Effect.map((info) => Number(info.size)), Effect.orElseSucceed(() => 0))
  if (size < 8 * 1024 * 1024) return size
  yield* Effect.ignore(fs.rename(log, `${log}.1`))
  return 0
})

const attempt = Effect.fnUntraced(function*(launch: Launch, fixedPort: Option.Option<number>) {
  const port = yield* Option.match(fixedPort, { onNone: () => freePort, onSome: Effect.succeed })
  const offset = yield* rotateLog(launch.placement.log)
  const postmaster = yield* Effect.tap(spawnServer(launch, port), own).pipe(Effect.uninterruptible)
  yield* ready(postmaster, launch.password).pipe(
    Effect.mapError((error) =>
      new LaunchFailed({
        reason: "Failed",
        message: `no connection with the password in ${launch.placement.password} on port ${port}: ${error.message}`
      })
    ),
    Effect.raceFirst(Effect.zipRight(postmaster.ended, Effect.flip(complaint(launch.placement.log, offset))))
  )
  return postmaster
})

const patience = Duration.seconds(15)

/**
 * Starts the server, on `port` or a free one. Another process may take that
 * port before Postgres does, and the children of a killed server need a moment
 * to notice: both are tried again.
 */
export const start = (launch: Launch, port: Option.Option<number> = Option.none()) =>
  attempt(launch, port).pipe(
    Effect.retry({
      while: (error) => error.reason !== "Failed",
      schedule: Schedule.upTo(Schedule.spaced("100 millis"), patience)
    }),
    Effect.mapError(({ message }) =>
      new EmbeddedPostgresFault({
        problem: `Postgres did not start on ${launch.placement.data}: ${message}`,
        advice: `Its log is ${launch.placement.log}; remedy what it says, ${orUseDatabaseUrl}`
      })
    )
  )
