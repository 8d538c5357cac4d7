/**
 * Lists as Postgres reads them (PostgreSQL documentation, 8.15.2), for statements that carry a row of each event: the
 * driver looks at every item to find out what it is and escapes all of them, which costs more than writing the rows does.
 *
 * They are the columns of an `unnest`: nulls at the end of one are left out, for it fills those that are shorter with them
 * (9.19). One of the columns has to be without nulls.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import { identity } from "effect/Function"

type Of<A, B> = (item: A) => B

/** Of numbers, booleans, UUIDs and plain words, which need no quotes and are never empty. */
export const plain = <A>(items: ReadonlyArray<A>, of: Of<A, number | boolean | string | null>): string =>
  list(items, of, identity)

/** Of any texts. */
export const quoted = <A>(items: ReadonlyArray<A>, of: Of<A, string | null>): string => list(items, of, quote)

const list = <A, B>(
  items: ReadonlyArray<A>,
  of: Of<A, B | null>,
  write: (item: B) => number | boolean | string
): string => {
  const texts = items.map((one) => {
    const item = of(one)
    return item === null ? absent : write(item)
  })
  const length = texts.findLastIndex((text) => text !== absent) + 1
  return `{${length < texts.length ? texts.slice(0, length).join() : texts.join()}}`
}

const absent = "NULL"

const special = /["\\]/

const quote = (item: string): string => `"${special.test(item) ? item.replace(/["\\]/g, "\\$&") : item}"`

const separator = "\u001f"

/**
 * The `text[]` of texts that are not empty and hold no control characters, such as JSON: neither side has to escape them, or
 * to look.
 */
export const joined = <A>(sql: SqlClient, items: ReadonlyArray<A>, of: Of<A, string>): Fragment =>
  sql`string_to_array(${items.map(of).join(separator)}, ${separator})`

/** Of bytes, as `bytea` reads them. */
export const bytes = <A>(items: ReadonlyArray<A>, of: Of<A, Uint8Array | null>): string => list(items, of, hex)

const hex = (item: Uint8Array): string =>
  item.length === 0 ? "\"\"" : `"\\\\x${Buffer.from(item.buffer, item.byteOffset, item.byteLength).toString("hex")}"`
