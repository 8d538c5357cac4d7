/**
 * How long a statement may take, its answer's way included: a server that went away without a word answers nothing. Its
 * connection ends with it, and so does whatever waits behind it there: none of it is carried out later.
 *
 * `pg` has such a deadline, too, `query_timeout`. But what it makes for it at every statement V8 keeps among the old objects,
 * and with it all that the statement stored and was answered, until the next full collection (CONTRIBUTING, 8).
 */
import type { Duplex } from "node:stream"
import { Client, type PoolClient } from "pg"
import { isCallback, type Query } from "./PreparedStatements.ts"

/** From now on the client's statements end within so many milliseconds, but for cursors, which tell of their end themselves. */
export const limitStatements = (client: PoolClient, ms: number): void => {
  const query = client.query.bind(client) as Query
  const limited: Query = (asked, values, callback) => {
    if (isCursor(asked)) return query(asked, values, callback)
    const [told, parameters] = isCallback(values) ? [values, undefined] : [callback, values]
    if (!isCallback(told)) {
      return new Promise((resolve, reject) =>
        limited(
          asked,
          parameters,
          (error: Error | null, result: unknown) => error === null ? resolve(result) : reject(error)
        )
      )
    }
    let isOver = false
    const end = (error: Error | null, result: unknown): void => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      told(error, result)
    }
    // @effect-diagnostics-next-line globalTimers:off
    const timer = setTimeout(() => {
      // First: whoever hears of it gives the connection back at once.
      cutOff(client)
      end(new Error(`it did not answer within ${ms} ms`), undefined)
    }, ms)
    return query(asked, parameters, end)
  }
  client.query = limited as typeof client.query
}

const isCursor = (asked: unknown): boolean => typeof asked === "object" && asked !== null && "submit" in asked

/** The pool keeps no client that is ending; that alone would wait for the server to take leave. */
const cutOff = (client: PoolClient & { readonly connection?: { readonly stream: Duplex } }): void => {
  if (client instanceof Client) void client.end()
  client.connection?.stream.destroy()
}
