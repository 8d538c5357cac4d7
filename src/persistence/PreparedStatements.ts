/**
 * Statements by name, so that Postgres plans each once a connection and not at every call: over day partitions planning
 * costs several times what running does. After five calls the server itself chooses between the one plan for all
 * parameters and a plan for these (PostgreSQL documentation, PREPARE). For statements that are marked so, it is the one plan
 * from the first call on: where a hundred partitions are to be planned for, the server tends to believe that planning anew
 * pays, and it never does. That plan is made while the day's partition is as good as empty, and must hold when it is full:
 * where an index will do, it reads no table from end to end.
 */
import { createHash } from "node:crypto"
import type { PoolClient } from "pg"

/** Texts that are given names. Ours are fixed, so there are few; a text that is made up each time would fill the server. */
const namedMax = 500

const names = new Map<string, string>()

const nameOf = (text: string): string | undefined => {
  const known = names.get(text)
  if (known !== undefined || names.size >= namedMax) return known
  const name = createHash("sha256").update(text).digest("hex").slice(0, 24)
  names.set(text, name)
  return name
}

/** `pg` has eight ways to call `query`. These are the two that statements with parameters take; all others pass. */
export type Query = (asked: unknown, values?: unknown, callback?: unknown) => unknown

interface Asked {
  readonly text: string
  readonly values: ReadonlyArray<unknown>
  /** Each row as a list of its values. */
  readonly rowMode?: "array"
}

const askedOf = (asked: unknown, values: unknown): Asked | null => {
  const found = typeof asked === "string" ? { text: asked, values } : asked
  return typeof found === "object" && found !== null && "text" in found && typeof found.text === "string" &&
      "values" in found && Array.isArray(found.values) && found.values.length > 0
    ? found as Asked
    : null
}

type Callback = (error: (Error & { readonly code?: string }) | null, result: unknown) => void

export const isCallback = (value: unknown): value is Callback => typeof value === "function"

/** Marks a statement whose one plan, by indexes, serves all parameters. It is a comment to Postgres. */
const onePlanMark = "/* one plan */"
const onePlanOn = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off"
const onePlanOff = "RESET plan_cache_mode; RESET enable_seqscan"

/** SQLSTATE feature_not_supported: here, that a migration changed what a prepared statement answers. */
const planChanged = "0A000"

/** From now on the client's statements with parameters are prepared. */
export const prepare = (client: PoolClient): void => {
  const query = client.query.bind(client) as Query
  // Statements that a migration made unusable are prepared anew, under other names.
  let generation = 0

  const prepared: Query = (text, values, callback) => {
    const asked = askedOf(text, values)
    const told = isCallback(values) ? values : callback
    if (asked === null || !isCallback(told)) return query(text, values, callback)
    const name = nameOf(asked.text)
    if (name === undefined) return query(text, values, callback)
    const answer: Callback = (error, result) => {
      if (error?.code === planChanged) generation += 1
      told(error, result)
    }
    const statement = { ...asked, name: `${name}_${generation}` }
    return asked.text.includes(onePlanMark) ? onePlan(query, statement, answer) : query(statement, answer)
  }
  client.query = prepared as typeof client.query
}

/**
 * No other statement is planned in this mode: after a success the answer waits for the end of it, and after a failure what
 * ends it is ahead of whatever the connection is asked next.
 */
const onePlan = (query: Query, statement: object, answer: Callback): unknown => {
  query(onePlanOn, (error: Error | null) => {
    if (error !== null) return answer(error, undefined)
    query(statement, (error: Error | null, result: unknown) => {
      query(onePlanOff, () => error === null ? answer(null, result) : undefined)
      if (error !== null) answer(error, result)
    })
  })
  return undefined
}
