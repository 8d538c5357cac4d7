import * as SqlClient from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import { assert, layer } from "@effect/vitest"
import { Effect, FastCheck, identity } from "effect"
import * as PgArray from "../../src/persistence/PgArray.ts"
import * as PgTest from "../support/PgTest.ts"

const orNull = <A>(items: FastCheck.Arbitrary<A>) => FastCheck.array(FastCheck.option(items))

/** Postgres keeps no NUL in a text. */
const text = FastCheck.oneof(
  FastCheck.string({ unit: "binary" }),
  FastCheck.string({ unit: FastCheck.constantFrom("\"", "\\", ",", "{", "}", "'", " ", "\n", "\u001f", "x") }),
  FastCheck.constantFrom("NULL", "null", "", "\\x00", "{}", "\u001f")
).map((found) => found.replaceAll("\0", ""))

/** What a statement that numbers its rows makes of the column. */
const readOf = (items: ReadonlyArray<unknown>, column: (sql: SqlClient.SqlClient) => Fragment) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const numbers = PgArray.plain(Array.from(items.keys()), identity)
    const rows = yield* sql<{ readonly item: unknown }>`
      SELECT item FROM unnest(${numbers}::int[], ${column(sql)}) AS t (nth, item) ORDER BY nth
    `
    return rows.map(({ item }) => item)
  })

layer(PgTest.layer)("PgArray", (it) => {
  it.effect.prop(
    "is read by Postgres as it was written: texts",
    { texts: orNull(text) },
    ({ texts }) =>
      Effect.gen(function*() {
        const read = yield* readOf(texts, (sql) => sql`${PgArray.quoted(texts, identity)}::text[]`)
        assert.deepStrictEqual(read, texts)
      })
  )

  it.effect.prop(
    "and JSON in them",
    { values: FastCheck.array(FastCheck.dictionary(text, text)) },
    ({ values }) =>
      Effect.gen(function*() {
        const json = (value: unknown) => JSON.stringify(value)
        const read = yield* readOf(values, (sql) => sql`${PgArray.joined(sql, values, json)}::json[]`)
        assert.deepStrictEqual(read, values.map((value) => ({ ...value })))
        const texts = yield* readOf(values, (sql) => PgArray.joined(sql, values, json))
        assert.deepStrictEqual(texts, values.map(json))
      })
  )

  it.effect.prop(
    "and bytes",
    { bytes: orNull(FastCheck.uint8Array()) },
    ({ bytes }) =>
      Effect.gen(function*() {
        const read = yield* readOf(bytes, (sql) => sql`${PgArray.bytes(bytes, identity)}::bytea[]`)
        assert.deepStrictEqual(read, bytes.map((one) => one === null ? null : Buffer.from(one)))
      })
  )

  it.effect.prop("and whole numbers", { items: orNull(FastCheck.integer()) }, ({ items }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* readOf(items, (sql) => sql`${PgArray.plain(items, identity)}::int[]`), items)
    }))

  it.effect.prop(
    "and others",
    { items: orNull(FastCheck.double({ noNaN: true })) },
    ({ items }) =>
      Effect.gen(function*() {
        const read = yield* readOf(items, (sql) => sql`${PgArray.plain(items, identity)}::float8[]`)
        // To a text -0 is 0.
        assert.deepStrictEqual(read, items.map((one) => one === 0 ? 0 : one))
      })
  )

  it.effect.prop("and booleans", { items: orNull(FastCheck.boolean()) }, ({ items }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* readOf(items, (sql) => sql`${PgArray.plain(items, identity)}::boolean[]`), items)
    }))

  it.effect.prop("and UUIDs", { items: orNull(FastCheck.uuid()) }, ({ items }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* readOf(items, (sql) => sql`${PgArray.plain(items, identity)}::uuid[]`), items)
    }))
})
