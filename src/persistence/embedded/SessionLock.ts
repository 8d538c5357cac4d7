/**
 * The second wall around the data: a lock that the server itself keeps for as
 * long as our connection lives. It holds where lock files fail, such as for a
 * copied data directory that points to the same database.
 */
import * as Boolean from "effect/Boolean"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { DataDirectoryInUse, EmbeddedPostgresFault, orUseDatabaseUrl } from "./EmbeddedPostgresError.ts"
import * as Processes from "./Processes.ts"
import * as Session from "./Session.ts"

/** "deeperwh" as a number; every service on this server asks for the same one. */
const key = "7234297735926739816"

const namePrefix = "deeper-hub-webhooks lock of pid "

const holderPid = (rows: ReadonlyArray<Record<string, unknown>>) => {
  const name = rows[0]?.["application_name"]
  return typeof name === "string" ? Number(name.slice(namePrefix.length)) : 0
}

const take = Effect.fnUntraced(function*(session: Session.Session, directory: string) {
  const rows = yield* session.query("SELECT pg_try_advisory_lock($1) AS taken", [key])
  if (rows[0]?.["taken"] === true) return
  const holders = yield* session.query(
    "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE $1 || '%' AND pid <> pg_backend_pid()",
    [namePrefix]
  )
  return yield* new DataDirectoryInUse({ directory, pid: holderPid(holders) })
})

const holdOnce = Effect.fnUntraced(
  function*(
    address: Session.Address,
    directory: string,
    held: Deferred.Deferred<void, DataDirectoryInUse | Session.SessionError>
  ) {
    const session = yield* Session.open(address, { applicationName: `${namePrefix}${process.pid}` })
    yield* Effect.retry(take(session, directory), {
      // The connection of a service that was killed takes a moment to be noticed.
      while: (error) =>
        error instanceof DataDirectoryInUse
          ? Effect.map(Processes.isAlive(error.pid), Boolean.not)
          : Effect.succeed(false),
      schedule: Schedule.upTo(Schedule.spaced("50 millis"), "3 seconds")
    })
    yield* Deferred.succeed(held, void 0)
    yield* session.ended
  },
  Effect.scoped
)

/** Returns once the lock is held, and takes it again whenever the connection was lost. */
export const hold = Effect.fn("SessionLock.hold")(function*(address: Session.Address, directory: string) {
  const held = yield* Deferred.make<void, DataDirectoryInUse | Session.SessionError>()
  yield* holdOnce(address, directory, held).pipe(
    Effect.catchAll((error) => Deferred.fail(held, error)),
    Effect.repeat(Schedule.spaced("1 second")),
    Effect.interruptible,
    Effect.forkScoped
  )
  yield* Effect.catchTag(Deferred.await(held), "SessionError", ({ message }) =>
    new EmbeddedPostgresFault({
      problem: `The lock of ${directory} could not be taken on 127.0.0.1:${address.port}: ${message}`,
      advice: `Start again, ${orUseDatabaseUrl}`
    }))
})
