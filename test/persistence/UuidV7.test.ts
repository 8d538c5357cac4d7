import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Clock, Effect } from "effect"
import * as PgTest from "../support/PgTest.ts"

const count = 5_000

/** RFC 9562, 5.7: 48 bits of Unix milliseconds, version 7, variant 10. */
const format = /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/

const millisecondsOf = (uuid: string): number => Number.parseInt(uuid.replace("-", "").slice(0, 12), 16)

layer(PgTest.layer, { timeout: "60 seconds", excludeTestServices: true })("The database's UUIDs", (it) => {
  it.effect("are of version 7, of the moment at which they are made, and no two are alike", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const before = yield* Clock.currentTimeMillis
      const rows = yield* sql<
        { readonly uuid: string }
      >`SELECT uuid_v7()::text AS uuid FROM generate_series(1, ${count})`
      const after = yield* Clock.currentTimeMillis
      for (const { uuid } of rows) {
        assert.match(uuid, format)
        // Both are rounded.
        assert.isAtLeast(millisecondsOf(uuid), before - 1)
        assert.isAtMost(millisecondsOf(uuid), after + 1)
      }
      assert.strictEqual(new Set(rows.map(({ uuid }) => uuid)).size, count)
      // Each of the other 74 bits is at times set, and at times not: two of them are beside the variant.
      assert.lengthOf(new Set(rows.map(({ uuid }) => uuid[19])), 4)
      for (const place of [...places(15, 18), ...places(20, 23), ...places(24, 36)]) {
        assert.lengthOf(new Set(rows.map(({ uuid }) => uuid[place])), 16, `place ${place}`)
      }
    }))
})

const places = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: to - from }, (_, i) => from + i)
