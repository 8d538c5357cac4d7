/** Drives `embeddedPostgres.ts` as a child process: start it, read what it says, kill it, look at what is left. */
import { Data, Deferred, Effect, Option, Schedule } from "effect"
import { spawn } from "node:child_process"
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Client } from "pg"
import type { Identity } from "../../src/persistence/embedded/Processes.ts"

const script = fileURLToPath(new URL("embeddedPostgres.ts", import.meta.url))
const checkout = dirname(dirname(dirname(script)))

export const isRoot = process.getuid?.() === 0

/** An ordinary user: us, or `nobody` when we are root. */
export const ordinary: Identity = isRoot ? { uid: 65534, gid: 65534 } : {}

class ServiceFailed extends Data.TaggedError("ServiceFailed")<{ readonly message: string }> {}

interface Service {
  readonly pid: number
  /** Waits until it can be used; fails with what it said when it ends before. */
  readonly url: Effect.Effect<string, ServiceFailed>
  readonly said: (text: string) => Effect.Effect<void, ServiceFailed>
  readonly output: Effect.Effect<string>
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<void>
}

/** Where the files of Postgres are for this data directory. */
export const dataOf = (directory: string) => {
  const location = join(directory, "postgres.location")
  return existsSync(location) ? readFileSync(location, "utf8").trim() : join(directory, "postgres")
}

/** The running server of this data directory, found as `ps` would find it. */
export const postmasterOf = (directory: string): Option.Option<number> => {
  const data = dataOf(directory)
  // A server that starts anew takes away what the killed one left, at any moment.
  const read = Option.liftThrowable(() => readFileSync(join(data, "postmaster.pid"), "utf8"))
  return read().pipe(
    Option.map((text) => Number(text.split("\n")[0])),
    Option.filter((pid) => isProcessIn(pid, data))
  )
}

const isProcessIn = (pid: number, folder: string) => {
  if (process.platform !== "linux") return process.kill(pid, 0)
  return Option.contains(Option.liftThrowable(readlinkSync)(`/proc/${pid}/cwd`, "utf8"), folder)
}

export const until = (condition: () => boolean) =>
  Effect.repeat(Effect.sync(condition), { until: (met) => met, schedule: Schedule.spaced("5 millis") })

export const killPostmaster = (directory: string) =>
  Effect.gen(function*() {
    const pid = yield* postmasterOf(directory)
    process.kill(pid, "SIGKILL")
    yield* until(() => !isProcessIn(pid, dataOf(directory)))
  })

/** Removed with everything that grew out of it. */
export const directory = (identity: Identity = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const made = mkdtempSync(join(tmpdir(), "deeper-hub-webhooks-embedded-"))
      chmodSync(made, 0o755)
      if (identity.uid !== undefined && identity.gid !== undefined) chownSync(made, identity.uid, identity.gid)
      return made
    }),
    (made) =>
      Effect.gen(function*() {
        yield* Effect.ignore(killPostmaster(made))
        for (const folder of [dataOf(made), made]) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
      })
  )

const launch = (dataDirectory: string, identity: Identity, args: ReadonlyArray<string>) => {
  const child = spawn(process.execPath, ["--import", "tsx", script, dataDirectory, ...args], {
    ...identity,
    cwd: checkout,
    stdio: ["ignore", "pipe", "pipe"]
  })
  const heard = { text: "" }
  child.stdout.setEncoding("utf8").on("data", (text: string) => heard.text += text)
  child.stderr.setEncoding("utf8").on("data", (text: string) => heard.text += text)
  return { child, heard }
}

export const start = (
  dataDirectory: string,
  identity: Identity = {},
  args: ReadonlyArray<string> = []
) =>
  Effect.gen(function*() {
    const closed = yield* Deferred.make<void>()
    const { child, heard } = yield* Effect.acquireRelease(
      Effect.sync(() => launch(dataDirectory, identity, args)),
      (made) => Effect.sync(() => made.child.kill("SIGKILL"))
    )
    child.once("close", () => Deferred.unsafeDone(closed, Effect.void))

    const said = (text: string) =>
      Effect.raceFirst(
        Effect.asVoid(until(() => heard.text.includes(text))),
        Effect.zipRight(
          Deferred.await(closed),
          Effect.suspend(() => heard.text.includes(text) ? Effect.void : new ServiceFailed({ message: heard.text }))
        )
      )
    const service: Service = {
      pid: child.pid ?? 0,
      said,
      url: Effect.map(said("READY"), () => /READY (\S+)/.exec(heard.text)?.[1] ?? ""),
      output: Effect.zipRight(Deferred.await(closed), Effect.sync(() => heard.text)),
      kill: (signal) => Effect.zipRight(Effect.sync(() => child.kill(signal)), Deferred.await(closed))
    }
    return service
  })

export const query = (url: string, text: string) =>
  Effect.promise(async (): Promise<ReadonlyArray<Record<string, unknown>>> => {
    const client = new Client(url)
    await client.connect()
    const { rows } = await client.query<Record<string, unknown>>(text)
    await client.end()
    return rows
  })
