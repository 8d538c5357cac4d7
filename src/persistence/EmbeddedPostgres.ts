/**
 * A real Postgres of our own, for when there is no DATABASE_URL: nothing to
 * install, data in one directory. Read `acquire` from the top: each line is a
 * file in `embedded/`. The server survives `kill -9` of the service, whose next
 * start takes it over; when the server dies, it is started again.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import * as Account from "./embedded/Account.ts"
import * as Binaries from "./embedded/Binaries.ts"
import * as Cluster from "./embedded/Cluster.ts"
import * as DataLock from "./embedded/DataLock.ts"
import { EmbeddedPostgresFault, orUseDatabaseUrl } from "./embedded/EmbeddedPostgresError.ts"
import * as Orphan from "./embedded/Orphan.ts"
import * as Placement from "./embedded/Placement.ts"
import * as Postmaster from "./embedded/Postmaster.ts"
import * as Session from "./embedded/Session.ts"
import * as SessionLock from "./embedded/SessionLock.ts"

export interface Options {
  /** Where everything is kept, such as `.data`; made if missing. */
  readonly dataDirectory: string
  /** False loses data in a crash of the machine and is faster: for tests. */
  readonly durable?: boolean
}

interface Running {
  readonly url: Redacted.Redacted
}

const database = "webhooks"

const ensureDatabase = Effect.fnUntraced(function*(address: Session.Address) {
  const found = yield* Session.query(address, "SELECT 1 FROM pg_database WHERE datname = $1", [database])
  if (found.length === 0) yield* Session.query(address, `CREATE DATABASE ${database}`)
}, EmbeddedPostgresFault.refail(`The database ${database} could not be made`, `Start again, ${orUseDatabaseUrl}`))

const startLocked = (launch: Postmaster.Launch) =>
  Effect.tap(
    Postmaster.start(launch),
    ({ port }) => SessionLock.hold({ port, password: launch.password }, launch.placement.directory)
  )

/** Whoever killed the server did not mean the service: it comes back at the same address. */
const revive = (launch: Postmaster.Launch, server: Postmaster.Postmaster, closing: Ref.Ref<boolean>): Effect.Effect<
  never,
  never,
  Scope.Scope | FileSystem.FileSystem
> =>
  // Finalizers run in reverse: this one comes before the one that stops the server, whose end is then nobody's fault.
  Effect.addFinalizer(() => Ref.set(closing, true)).pipe(
    Effect.zipRight(server.ended),
    Effect.zipRight(Ref.get(closing)),
    Effect.flatMap((meant) => meant ? Effect.never : restart(launch, server)),
    Effect.flatMap((next) => revive(launch, next, closing))
  )

const restart = (launch: Postmaster.Launch, server: Postmaster.Postmaster) =>
  Effect.zipRight(
    Effect.logError(`Postgres (pid ${server.pid}) ended unexpectedly; starting it again`),
    Postmaster.start(launch, Option.some(server.port)).pipe(
      Effect.tapError((error) => Effect.delay(Effect.logError(error.message), "2 seconds")),
      Effect.eventually
    )
  )

/** Runs Postgres until the scope closes. */
export const acquire = Effect.fn("EmbeddedPostgres.acquire")(
  function*({ dataDirectory, durable = true }: Options) {
    const directory = yield* Placement.prepareDirectory(dataDirectory)
    yield* DataLock.acquire(directory)
    const account = yield* Account.resolve(directory)
    const placement = yield* Placement.resolve(directory, account)
    const binaries = yield* Binaries.resolve(account, Placement.copiesFolder(placement))
    const password = yield* Cluster.ensure(placement, binaries, account, durable)
    yield* Placement.remember(placement)

    const launch: Postmaster.Launch = { placement, binaries, account, password, durable }
    const server = Option.getOrUndefined(yield* Orphan.adopt(launch)) ?? (yield* startLocked(launch))
    const address: Session.Address = { port: server.port, password }
    yield* ensureDatabase(address)
    yield* Effect.forkScoped(Effect.interruptible(revive(launch, server, yield* Ref.make(false))))
    const url = `postgres://${Session.role}:${Redacted.value(password)}@127.0.0.1:${server.port}/${database}`
    const running: Running = { url: Redacted.make(url) }
    return running
  },
  Effect.provide(NodeFileSystem.layer)
)
