/**
 * Runs a statement on the pool itself: a dozen steps where SqlClient takes seventy, for the statements that run with
 * every few events. SqlClient still writes it, and runs it where that makes a difference: in a transaction, or for whoever
 * records its span. What is interrupted runs to its end all the same, and gives its connection back then.
 */
import { TransactionConnection } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import type { Statement } from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as String from "effect/String"
import type { Pool, QueryArrayResult } from "pg"
import * as Tracing from "../telemetry/Tracing.ts"

type Run = <A extends object>(statement: Statement<A>) => Effect.Effect<ReadonlyArray<A>, SqlError>

/** Where there is no pool of ours, SqlClient runs everything. */
export class DirectQuery extends Context.Reference<DirectQuery>()("deeper-hub-webhooks/persistence/DirectQuery", {
  defaultValue: (): Run => (statement) => statement
}) {}

/** Rows come as lists of values: as objects of the driver's they would be made twice. */
const named = <A extends object>({ fields, rows }: QueryArrayResult<Array<unknown>>): ReadonlyArray<A> => {
  const names = fields.map(({ name }) => String.snakeToCamel(name))
  return rows.map((row) => {
    const made: Record<string, unknown> = {}
    for (let i = 0; i < names.length; i++) made[names[i] ?? ""] = row[i]
    return made as A
  })
}

const failed = (cause: unknown) => Effect.fail(new SqlError({ cause, message: "Failed to execute statement" }))

export const make = (pool: Pool): Run => (statement) =>
  Effect.withFiberRuntime((fiber) => {
    const context = fiber.getFiberRef(FiberRef.currentContext)
    const isInTransaction = Option.isSome(Context.getOption(context, TransactionConnection))
    if (isInTransaction || Tracing.isWithinRecorded(fiber)) return statement
    const [text, values] = statement.compile()
    return Effect.async((resume) =>
      // The pool's own `query` would close the connection of every statement that is refused.
      pool.connect((cause, client, release) => {
        if (client === undefined) return resume(failed(cause))
        const asked = { text, values: values as Array<unknown>, rowMode: "array" } as const
        client.query<Array<unknown>>(asked, (cause: Error | undefined, result) => {
          release()
          // Where it failed there is no result, whatever the types say.
          resume(cause instanceof Error ? failed(cause) : Effect.succeed(named(result)))
        })
      })
    )
  })
