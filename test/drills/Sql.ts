/** Questions to the database, each on a connection of its own: what the rows say is the last word. */
import { Data, Effect, Schema } from "effect"
import { Client } from "pg"

/** It is being killed, or starting again. */
export class Unreachable extends Data.TaggedError("Unreachable")<{ readonly message: string }> {}

const answers = async (url: string, text: string, values: ReadonlyArray<unknown>) => {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000, query_timeout: 120_000 })
  // A server that is killed raises it beside the query's own failure.
  client.on("error", () => {})
  try {
    await client.connect()
    return (await client.query<Record<string, unknown>>(text, [...values])).rows
  } finally {
    await client.end().catch(() => {})
  }
}

export const rows = <A, I>(
  url: string,
  row: Schema.Schema<A, I>,
  text: string,
  values: ReadonlyArray<unknown> = []
): Effect.Effect<ReadonlyArray<A>, Unreachable> =>
  Effect.tryPromise({
    try: () => answers(url, text, values),
    catch: (cause) => new Unreachable({ message: cause instanceof Error ? cause.message : String(cause) })
  }).pipe(Effect.flatMap((found) => Effect.orDie(Schema.decodeUnknown(Schema.Array(row))(found))))

/** For one row with one column `value`. */
export const value = <A, I>(
  url: string,
  schema: Schema.Schema<A, I>,
  text: string,
  values: ReadonlyArray<unknown> = []
): Effect.Effect<A, Unreachable> =>
  rows(url, Schema.Struct({ value: schema }), text, values).pipe(
    Effect.flatMap(([row]) => row === undefined ? Effect.dieMessage(`no row: ${text}`) : Effect.succeed(row.value))
  )
