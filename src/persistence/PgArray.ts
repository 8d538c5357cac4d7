/**
 * Arrays as Postgres reads them (PostgreSQL documentation, 8.15.2), for statements that carry a row of each event: the
 * driver looks at every item to find out what it is and escapes all of them, which costs more than writing the rows does.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"

/** Of numbers, booleans and UUIDs, which need no quotes and are never empty. */
export const plain = (items: ReadonlyArray<number | boolean | string | null>): string =>
  `{${items.map((item) => item ?? "NULL").join()}}`

const special = /["\\]/

/** Of any texts. */
export const quoted = (items: ReadonlyArray<string | null>): string =>
  `{${items.map((item) => item === null ? "NULL" : quote(item)).join()}}`

const quote = (item: string): string => `"${special.test(item) ? item.replace(/["\\]/g, "\\$&") : item}"`

const separator = "\u001f"

/**
 * The `text[]` of texts that are not empty and hold no control characters, such as JSON: neither side has to escape them, or
 * to look.
 */
export const joined = (sql: SqlClient, items: ReadonlyArray<string>): Fragment =>
  sql`string_to_array(${items.join(separator)}, ${separator})`

/** Of bytes, as `bytea` reads them. */
export const bytes = (items: ReadonlyArray<Uint8Array | null>): string => quoted(items.map(hexOrNull))

const hexOrNull = (item: Uint8Array | null): string | null => {
  if (item === null) return null
  return item.length === 0 ? "" : `\\x${Buffer.from(item.buffer, item.byteOffset, item.byteLength).toString("hex")}`
}
