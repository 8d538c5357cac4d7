import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import * as PgArray from "../../src/persistence/PgArray.ts"
import * as PgTest from "../support/PgTest.ts"

const orNull = <A>(items: FastCheck.Arbitrary<A>) => FastCheck.array(FastCheck.option(items))

/** Postgres keeps no NUL in a text. */
const text = FastCheck.oneof(
  FastCheck.string({ unit: "binary" }),
  FastCheck.string({ unit: FastCheck.constantFrom("\"", "\\", ",", "{", "}", "'", " ", "\n", "\u001f", "x") }),
  FastCheck.constantFrom("NULL", "null", "", "\\x00", "{}", "\u001f")
).map((found) => found.replaceAll("\0", ""))

layer(PgTest.layer)("PgArray", (it) => {
  it.effect.prop(
    "is read by Postgres as it was written: texts",
    { texts: orNull(text) },
    ({ texts }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const [row] = yield* sql`SELECT ${PgArray.quoted(texts)}::text[] AS read`
        assert.deepStrictEqual(row, { read: texts })
      })
  )

  it.effect.prop(
    "and JSON in them",
    { values: FastCheck.array(FastCheck.dictionary(text, text)) },
    ({ values }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const json = values.map((value) => JSON.stringify(value))
        const [row] = yield* sql`SELECT ${PgArray.joined(sql, json)}::json[] AS read, ${
          PgArray.joined(sql, json)
        } AS text`
        assert.deepStrictEqual(row, { read: values.map((value) => ({ ...value })), text: json })
      })
  )

  it.effect.prop(
    "and bytes",
    { bytes: orNull(FastCheck.uint8Array()) },
    ({ bytes }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const [row] = yield* sql`SELECT ${PgArray.bytes(bytes)}::bytea[] AS read`
        assert.deepStrictEqual(row, { read: bytes.map((one) => one === null ? null : Buffer.from(one)) })
      })
  )

  it.effect.prop(
    "and numbers, booleans and UUIDs",
    {
      numbers: orNull(FastCheck.integer()),
      decimals: orNull(FastCheck.double({ noNaN: true })),
      booleans: orNull(FastCheck.boolean()),
      uuids: orNull(FastCheck.uuid())
    },
    ({ booleans, decimals, numbers, uuids }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const [row] = yield* sql`
          SELECT ${PgArray.plain(numbers)}::int[] AS numbers, ${PgArray.plain(decimals)}::float8[] AS decimals,
            ${PgArray.plain(booleans)}::boolean[] AS booleans, ${PgArray.plain(uuids)}::uuid[] AS uuids
        `
        // To a text -0 is 0.
        assert.deepStrictEqual(row, { numbers, decimals: decimals.map((one) => one === 0 ? 0 : one), booleans, uuids })
      })
  )
})
