/** One plain connection to the embedded server, for what must happen before there is a pool. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Pg from "pg"

export const role = "webhooks"

export interface Address {
  readonly port: number
  readonly password: Redacted.Redacted
}

export class SessionError extends Data.TaggedError("SessionError")<{
  /** An SQLSTATE, or the name of a socket error such as `ECONNREFUSED`. */
  readonly code: string
  readonly message: string
}> {}

export interface Session {
  readonly query: (
    text: string,
    values?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<Record<string, unknown>>, SessionError>
  /** Returns when the server or the network has ended the connection. */
  readonly ended: Effect.Effect<void>
}

const toError = (cause: unknown) =>
  new SessionError({
    code: cause instanceof Error && "code" in cause ? String(cause.code) : "",
    message: cause instanceof Error ? cause.message : String(cause)
  })

export const open = (
  { password, port }: Address,
  options: { readonly database?: string; readonly applicationName?: string } = {}
): Effect.Effect<Session, SessionError, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => {
          const client = new Pg.Client({
            host: "127.0.0.1",
            port,
            user: role,
            password: Redacted.value(password),
            database: options.database ?? "postgres",
            application_name: options.applicationName ?? "deeper-hub-webhooks",
            connectionTimeoutMillis: 5000,
            // Named, because PGSSLMODE of the environment would decide otherwise.
            ssl: false
          })
          const ended = new Promise<void>((resolve) => client.once("end", () => resolve()))
          // Without a listener, a server that goes away takes the process with it.
          client.on("error", () => {})
          await client.connect()
          return { client, ended }
        },
        catch: toError
      }),
      ({ client }) => Effect.ignore(Effect.tryPromise(() => client.end()))
    ),
    ({ client, ended }): Session => ({
      query: (text, values = []) =>
        Effect.tryPromise({
          try: async () => (await client.query<Record<string, unknown>>(text, [...values])).rows,
          catch: toError
        }),
      ended: Effect.promise(() => ended)
    })
  )

/** Runs one statement on a connection of its own. */
export const query = (address: Address, text: string, values?: ReadonlyArray<unknown>) =>
  Effect.scoped(Effect.flatMap(open(address), (session) => session.query(text, values)))
