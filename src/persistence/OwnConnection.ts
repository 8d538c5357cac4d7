/** A connection apart from the pool, for what belongs to a session: a lock that is held, a channel that is listened to. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Client, type ClientConfig, type Notification } from "pg"

export interface OwnConnection {
  /** Runs one statement, outside of any transaction. */
  readonly execute: (statement: string) => Effect.Effect<ReadonlyArray<unknown>, SqlError>
  readonly onNotification: (heard: (notification: Notification) => void) => Effect.Effect<void>
  /** Fails when the connection is gone; waits for ever otherwise. */
  readonly lost: Effect.Effect<never, SqlError>
}

export interface OwnConnectionOptions {
  /** What an operator sees in `pg_stat_activity`. */
  readonly name: string
  /** How long a statement waits for a lock, and how long it takes in all: the server sees to it. */
  readonly lockTimeoutMs: number
  readonly statementTimeoutMs: number
}

/** How often a connection that is listened to is asked whether it stands. */
const heartbeat = "30 seconds"

/**
 * Fails when the connection is gone, and waits for ever otherwise. One whose other end is gone says nothing for ever: only
 * a question tells.
 */
export const lost = (connection: OwnConnection): Effect.Effect<never, SqlError> =>
  Effect.raceFirst(
    connection.lost,
    Effect.zipRight(Effect.repeat(connection.execute("SELECT 1"), Schedule.spaced(heartbeat)), Effect.never)
  )

/** How long to wait before connecting again. */
export const reconnecting = Schedule.exponential("100 millis").pipe(
  Schedule.union(Schedule.spaced("10 seconds")),
  Schedule.jittered,
  Schedule.resetAfter("1 minute")
)

/** Longer than the server's bound: it is reached only when the other end is gone. */
const graceMs = 5_000

/** Open until the scope closes; the session ends with it, and so does everything that belongs to the session. */
export const acquire = (
  { config }: PgClient,
  options: OwnConnectionOptions
): Effect.Effect<OwnConnection, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const lost = yield* Deferred.make<never, SqlError>()
    const loses = (cause: unknown) =>
      Deferred.unsafeDone(lost, Effect.fail(new SqlError({ cause, message: "the connection is lost" })))
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => new Client(settings(config.url, options))),
      // Where the other end is gone nobody says goodbye.
      (client) => Effect.promise(() => client.end()).pipe(Effect.interruptible, Effect.timeoutOption("1 second"))
    )
    // Without a listener, a connection that the server ends would end the process.
    client.on("error", loses)
    client.on("end", () => loses(new Error("the server ended it")))
    yield* Effect.tryPromise({
      try: () => client.connect(),
      catch: (cause) => new SqlError({ cause, message: "could not connect" })
    })
    return {
      execute: (statement) =>
        Effect.tryPromise({
          try: async () => (await client.query<Record<string, unknown>>(statement)).rows,
          catch: (cause) => new SqlError({ cause, message: "Failed to execute statement" })
        }),
      onNotification: (heard) =>
        Effect.sync(() => {
          client.on("notification", heard)
        }),
      lost: Deferred.await(lost)
    }
  })

const settings = (url: Redacted.Redacted | undefined, options: OwnConnectionOptions): ClientConfig => ({
  ...(url === undefined ? {} : { connectionString: Redacted.value(url) }),
  application_name: `deeper-hub-webhooks/${options.name}`,
  connectionTimeoutMillis: 5_000,
  lock_timeout: options.lockTimeoutMs,
  statement_timeout: options.statementTimeoutMs,
  query_timeout: options.statementTimeoutMs + graceMs,
  keepAlive: true
})
