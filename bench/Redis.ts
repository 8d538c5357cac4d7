/** The Redis of a run: it syncs before it answers, in a directory that goes with it. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { type ChildProcess, spawn } from "node:child_process"
import { accessSync, constants } from "node:fs"
import { connect, createServer } from "node:net"
import { delimiter, join } from "node:path"
import { temporaryDirectory } from "./DurablePostgres.ts"
import { Failure } from "./Failure.ts"
import type { SlowDisk } from "./SlowDisk.ts"

export interface Redis {
  readonly port: number
  readonly pid: number
}

/** Where `redis-server` is; null where it is not installed. */
export const program = Effect.map(
  Effect.orDie(Config.string("PATH")),
  (path) => path.split(delimiter).map((folder) => join(folder, "redis-server")).find(isProgram) ?? null
)

export const missing = new Failure({
  problem: "There is no redis-server on the PATH, which BullMQ needs",
  advice: "Install one (Debian: apt-get install redis-server), or leave BullMQ out"
})

const isProgram = (file: string): boolean => {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

export const start = (slowDisk: SlowDisk | null) =>
  Effect.gen(function*() {
    const found = yield* program
    if (found === null) return yield* missing
    const directory = yield* temporaryDirectory
    const command = slowDisk === null ? found : yield* slowDisk.wrap(directory, found)
    const port = yield* freePort
    const child = yield* Effect.acquireRelease(Effect.sync(() => run(command, directory, port)), end)
    yield* Effect.retry(answers(port), Schedule.upTo(Schedule.spaced("20 millis"), "10 seconds")).pipe(
      Effect.mapError(() =>
        new Failure({
          problem: `${command} does not answer`,
          advice: `Start it by hand with --port ${port} to see why`
        })
      )
    )
    const running: Redis = { port, pid: child.pid ?? 0 }
    return running
  })

const settings = (own: Readonly<Record<string, number | string>>): ReadonlyArray<string> =>
  Object.entries({
    ...own,
    bind: "127.0.0.1",
    save: "",
    appendonly: "yes",
    appendfsync: "always",
    "maxmemory-policy": "noeviction"
  }).flatMap(([name, value]) => [`--${name}`, String(value)])

const run = (command: string, directory: string, port: number) =>
  spawn(command, settings({ port, dir: directory }), { cwd: directory, stdio: "ignore" }).on("error", () => {})

const end = (child: ChildProcess) =>
  Effect.async<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGTERM")
  })

const freePort = Effect.async<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(address !== null && typeof address === "object" ? address.port : 0)))
  })
})

const answers = (port: number) =>
  Effect.async<void, Error>((resume) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("error", (error) => resume(Effect.fail(error)))
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
  })
