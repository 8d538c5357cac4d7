/** The Postgres of a run: durable, in a directory that goes with it, on a disk that may be made slow. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Account from "../src/persistence/embedded/Account.ts"
import * as Binaries from "../src/persistence/embedded/Binaries.ts"
import * as Cluster from "../src/persistence/embedded/Cluster.ts"
import * as Placement from "../src/persistence/embedded/Placement.ts"
import * as Postmaster from "../src/persistence/embedded/Postmaster.ts"
import * as Session from "../src/persistence/embedded/Session.ts"
import { Failure } from "./Failure.ts"
import type { SlowDisk } from "./SlowDisk.ts"

export interface DurablePostgres {
  readonly url: string
  readonly pid: number
}

const database = "bench"

export const temporaryDirectory = Effect.acquireRelease(
  Effect.promise(async () => {
    const made = await mkdtemp(join(tmpdir(), "deeper-hub-webhooks-bench-"))
    // When root runs it, the user of Postgres has to get in.
    await chmod(made, 0o755)
    return made
  }),
  (made) => Effect.promise(() => rm(made, { recursive: true, force: true }))
)

/** Runs it until the scope closes; `slowDisk` is what its files shall lie on, null for the machine's own disk. */
export const start = (slowDisk: SlowDisk | null) =>
  Effect.gen(function*() {
    const directory = yield* Effect.flatMap(temporaryDirectory, Placement.prepareDirectory)
    const account = yield* Account.resolve(directory)
    const placement = yield* Placement.resolve(directory, account)
    const found = yield* Binaries.resolve(account, Placement.copiesFolder(placement))
    const binaries = slowDisk === null ? found : { ...found, postgres: yield* slowDisk.wrap(directory, found.postgres) }
    const password = yield* Cluster.ensure(placement, binaries, account, true)
    const { pid, port } = yield* Postmaster.start({ placement, binaries, account, password, durable: true })
    yield* Session.query({ port, password }, `CREATE DATABASE ${database}`)
    const running: DurablePostgres = {
      url: `postgres://${Session.role}:${Redacted.value(password)}@127.0.0.1:${port}/${database}`,
      pid
    }
    return running
  }).pipe(
    Effect.mapError((cause) =>
      new Failure({ problem: `Postgres did not start: ${cause.message}`, advice: "Mend that first" })
    ),
    Effect.provide(NodeFileSystem.layer)
  )
