/** Questions to the database of a run, all on one connection. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Client } from "pg"
import { Failure } from "./Failure.ts"

export type Sql = Effect.Effect.Success<ReturnType<typeof connect>>

export const connect = (url: string) =>
  Effect.gen(function*() {
    const client = yield* Effect.acquireRelease(
      asking(async () => {
        const made = new Client({ connectionString: url })
        // A server that ends under it raises it beside the query's own failure.
        made.on("error", () => {})
        await made.connect()
        return made
      }),
      (client) => Effect.promise(() => client.end().catch(() => {}))
    )
    const row = <A, I>(schema: Schema.Schema<A, I>, text: string, values: ReadonlyArray<unknown> = []) =>
      asking(async () => (await client.query<Record<string, unknown>>(text, [...values])).rows[0]).pipe(
        Effect.flatMap((found) => Effect.orDie(Schema.decodeUnknown(schema)(found)))
      )
    return {
      row,
      run: (text: string, values: ReadonlyArray<unknown> = []) =>
        Effect.asVoid(asking(() => client.query(text, [...values])))
    }
  })

const asking = <A>(question: () => Promise<A>) =>
  Effect.tryPromise({
    try: question,
    catch: (cause) => new Failure({ problem: `Postgres said: ${String(cause)}`, advice: "Run the case again" })
  })
