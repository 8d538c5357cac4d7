/**
 * The connection to Postgres, and the one error that its users see: the database could not do it now. A row that does
 * not decode or a statement that does not parse is a bug, and dies as one.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import { isParseError, type ParseError } from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as String from "effect/String"
import { Client, Pool as Connections } from "pg"
import * as Metrics from "../telemetry/Metrics.ts"
import * as DirectQuery from "./DirectQuery.ts"
import { prepare } from "./PreparedStatements.ts"
import { limitStatements } from "./StatementDeadline.ts"

export class PersistenceError extends Data.TaggedError("PersistenceError")<{
  readonly operation: string
  readonly cause: unknown
}> {
  override get message() {
    return `Postgres could not do ${this.operation}: ${reason(this.cause)}`
  }

  /** Translates what is expected of a database, and lets bugs stay bugs. */
  static readonly refail = (operation: string) =>
  <A, E, R>(
    self: Effect.Effect<A, E, R>
  ): Effect.Effect<A, Exclude<E, SqlError | ParseError> | PersistenceError, R> =>
    Effect.catchAll(self, (error): Effect.Effect<never, Exclude<E, SqlError | ParseError> | PersistenceError> => {
      if (isParseError(error)) return Effect.die(error)
      if (!(error instanceof SqlError)) return Effect.fail(error as Exclude<E, SqlError | ParseError>)
      if (isBug(error)) return Effect.die(error)
      return Effect.zipRight(
        Metric.increment(Metrics.databaseErrors),
        Effect.fail(new PersistenceError({ operation, cause: error }))
      )
    })
}

/** What is to be done when the transaction under way has ended. */
class AtEnd extends Context.Tag("deeper-hub-webhooks/persistence/Postgres/AtEnd")<AtEnd, Array<() => void>>() {}

/**
 * Runs the effect in a transaction. Effect dies of a commit or rollback that fails, which a lost connection makes them
 * do; that is no bug of ours.
 */
export const transaction =
  (sql: SqlClient) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
    Effect.catchSomeDefect(
      Effect.flatMap(Effect.serviceOption(AtEnd), (outer) => {
        // The end of an inner one decides nothing.
        if (Option.isSome(outer)) return sql.withTransaction(self)
        const atEnd: Array<() => void> = []
        const run = Effect.sync(() => atEnd.forEach((action) => action()))
        return Effect.ensuring(sql.withTransaction(Effect.provideService(self, AtEnd, atEnd)), run)
      }),
      (defect) => defect instanceof SqlError ? Option.some(Effect.fail(defect)) : Option.none()
    )

/**
 * Does something after the effect, or where it is part of a transaction, after that: it is told of every end, since a
 * commit whose answer was lost may be one.
 */
export const afterCommit = (action: () => void) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.ensuring(
    self,
    Effect.map(
      Effect.serviceOption(AtEnd),
      Option.match({ onNone: action, onSome: (atEnd) => void atEnd.push(action) })
    )
  )

const codeOf = (cause: unknown): string => {
  const inner = cause instanceof SqlError ? cause.cause : cause
  return inner instanceof Error && "code" in inner && typeof inner.code === "string" ? inner.code : ""
}

const reason = (cause: unknown): string =>
  cause instanceof SqlError && cause.cause instanceof Error ? cause.cause.message : globalThis.String(cause)

// SQLSTATE classes 22 (data), 23 (constraint) and 42 (syntax or access): the statement is wrong, trying again won't help.
const isBug = (error: SqlError): boolean => /^(22|23|42)/.test(codeOf(error))

export interface PostgresOptions {
  readonly url: Redacted.Redacted
  readonly poolMax: number
  /** A bound on every statement: a connection whose other end is gone would wait for ever otherwise. */
  readonly queryTimeout: Duration.DurationInput
}

/** How the connections are doing: how many are busy or idle, and how many statements wait for one. */
export class Pool extends Context.Tag("deeper-hub-webhooks/persistence/Postgres/Pool")<
  Pool,
  Effect.Effect<{ readonly busy: number; readonly idle: number; readonly waiting: number }>
>() {}

export const layer = (options: PostgresOptions) =>
  Layer.unwrapScoped(Effect.map(
    Effect.acquireRelease(
      Effect.tryPromise({
        try: () => openPool(options),
        catch: (cause) => new SqlError({ cause, message: "could not connect" })
      }),
      (pool) => Effect.promise(() => pool.end())
    ),
    (pool) =>
      Layer.mergeAll(
        Layer.succeed(DirectQuery.DirectQuery, DirectQuery.make(pool)),
        PgClient.layerFromPool({
          transformQueryNames: String.camelToSnake,
          transformResultNames: String.snakeToCamel,
          // Keys inside JSON columns (header names) are data, not column names.
          transformJson: false,
          acquire: Effect.succeed(pool)
        }),
        Layer.succeed(
          Pool,
          Effect.sync(() => ({
            busy: pool.totalCount - pool.idleCount,
            idle: pool.idleCount,
            waiting: pool.waitingCount
          }))
        )
      )
  ))

/** `pg` says so by a property that its types leave out; a released client is a `Client`, of which they know less. */
const isBusy = (client: unknown): client is Client =>
  client instanceof Client && "activeQuery" in client && client.activeQuery !== null

const durable = `
  SELECT set_config('synchronous_commit', 'on', false)
  WHERE current_setting('synchronous_commit') IN ('off', 'local')
`

const openPool = async (options: PostgresOptions) => {
  const pool = new Connections({
    connectionString: Redacted.value(options.url),
    max: options.poolMax,
    application_name: "deeper-hub-webhooks",
    connectionTimeoutMillis: 5_000,
    // A new connection has to learn every partition before its first statement: those that a burst opened stay.
    idleTimeoutMillis: 600_000,
    keepAlive: true
  })
  // An idle connection that the server ends raises `error`; without a listener it would end the process.
  pool.on("error", () => {})
  pool.on("connect", (client) => {
    client.on("error", () => {})
    prepare(client)
    limitStatements(client, Duration.toMillis(options.queryTimeout))
    // What was answered 202 must survive a crash, whatever the server or the role is set to.
    client.query(durable).catch(() => {})
  })
  // What was given up is still on its connection: nobody may queue behind it.
  pool.on("release", (_, client: unknown) => {
    if (isBusy(client)) void client.end()
  })
  await pool.query("SELECT 1")
  return pool
}
