import { HttpServerRequest } from "@effect/platform"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Statement from "@effect/sql/Statement"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, FiberRef, FiberRefs, Layer } from "effect"
import { ReadCache } from "../../src/persistence/ReadCache.ts"
import { describe, type Described, fill, type Ids, operations } from "../support/ApiOperations.ts"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectStatus, make, type Tenant } from "../support/ApiTest.ts"
import * as PgTest from "../support/PgTest.ts"
import { type TenantTables, unrestricted } from "../support/SqlScopes.ts"

interface Recorded {
  readonly route: string
  readonly text: string
  readonly values: ReadonlyArray<unknown>
}

const recorded: Array<Recorded> = []

/** Every statement that a request causes; not those of the actors, which work for all clients. */
const recorder = Statement.setTransformer((statement, _, fiberRefs) =>
  Effect.sync(() => {
    const context = FiberRefs.getOrDefault(fiberRefs, FiberRef.currentContext)
    const request = Context.getOption(context, HttpServerRequest.HttpServerRequest)
    if (request._tag === "Some") {
      const [text, values] = statement.compile()
      recorded.push({ route: `${request.value.method} ${request.value.url}`, text, values })
    }
    return statement
  })
)

const Api = make({ databaseUrl: PgTest.url }).pipe(Layer.provide(recorder), Layer.provideMerge(PgTest.layer))

/** The one statement that comes before anybody knows who asks: the key itself says for which client it is. */
const keyLookup = /FROM api_keys\s+WHERE id = \$1 AND revoked_at IS NULL/

/** Which column of a table says whose row it is; null where only the row that it hangs from does. */
const tenantTables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly tableName: string; readonly columns: ReadonlyArray<string> }>`
    SELECT c.table_name, array_agg(c.column_name::text) AS columns FROM information_schema.columns c
    JOIN pg_class t ON t.relname = c.table_name AND t.relnamespace = 'public'::regnamespace AND NOT t.relispartition
    WHERE c.table_schema = 'public' GROUP BY c.table_name`
  const tables = new Map<string, string | null>([["clients", "id"]])
  for (const { columns, tableName } of rows) {
    if (columns.includes("client_id")) tables.set(tableName, "client_id")
    else if (columns.some((column) => /^(webhook|event|delivery)_id$/.test(column))) tables.set(tableName, null)
  }
  return tables as TenantTables
}).pipe(Effect.orDie)

/** What was read for another request would keep the statements of this one from being seen. */
const forget = Effect.flatMap(
  ReadCache,
  ({ forgetting }) =>
    Effect.forEach(["api_keys", "clients", "event_types"] as const, (table) => forgetting(table)(Effect.void))
)

/** Rows that a request may end: each has its own. */
const makeRows = ({ client, id }: Tenant, type: string) =>
  Effect.gen(function*() {
    const webhook = yield* Rows.register(client, { events: [type] })
    const { attempted } = yield* ApiTest
    const { deliveries, event_id } = yield* Rows.publish(client, type)
    yield* attempted(deliveries[0].id)
    const ids: Ids = {
      alert: yield* Rows.raise(webhook),
      api_key: "key_01jmh2v3s8e5xt6dq4t9v0r1kz",
      client: id,
      delivery: deliveries[0].id,
      event: event_id,
      event_type: type,
      webhook: webhook.id
    }
    return ids
  })

const values: Readonly<Record<string, string>> = {
  is_active: "true",
  kind: "high_latency",
  state: "open",
  webhook_id: "whk_01jmh2v3s8e5xt6dq4t9v0r1kz",
  status: "pending",
  from: "2025-01-01",
  to: "2035-01-01",
  // Until the attempt's outcome is there: while it is under way, the next retry is refused.
  wait_ms: "10000"
}

/** The request itself, once more with each parameter, and where it may be repeated, that too. */
const ask = ({ client, id }: Tenant, { method, name, parameters, path, query }: Described, type: string) =>
  Effect.gen(function*() {
    const sent = operations[name]?.body
    const call = (search: string, key?: string) =>
      client.send({
        method,
        path: path + search,
        headers: { "content-type": "application/json", ...(key === undefined ? {} : { "idempotency-key": key }) },
        ...(sent && { body: JSON.stringify(sent) })
      })
    const known: Readonly<Record<string, string>> = { ...values, client_id: id, event_type: type }
    yield* Effect.forEach(
      query.filter((parameter) => parameter in known),
      (parameter) => call(`?${parameter}=${known[parameter]}`)
    )
    if (parameters.some((parameter) => parameter.name === "idempotency-key")) {
      yield* call("", type)
      yield* call("", type)
    }
    return yield* call("")
  })

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Statements", (it) => {
  it.effect("K79 every statement of a request names the client on every table that has one", () =>
    Effect.gen(function*() {
      const { newTenant, nobody } = yield* ApiTest
      const tables = yield* tenantTables
      assert.containsAllKeys(Object.fromEntries(tables), ["api_keys", "attempts", "clients", "deliveries", "events"])
      const tenant = yield* newTenant
      const asked = describe(yield* Rows.read(nobody, "/openapi.json")).filter(({ isSecured }) => isSecured)
      const faults = new Set<string>()
      const touched = new Set<string>()
      for (const [n, operation] of asked.entries()) {
        const ids = yield* makeRows(tenant, `statement.n${n}`)
        yield* forget
        recorded.length = 0
        const path = fill(operation.path, ids)
        // Publishing has a short way, on which nothing says whose a statement is; on the other one it makes the same ones.
        const other = operation.name.startsWith("POST /api/events") ? `${path}/` : path
        const answer = yield* ask(tenant, { ...operation, path: other }, ids.event_type)
        const { roles, status } = operations[operation.name] ?? { roles: [], status: 0 }
        expectStatus(answer, roles.includes("client") ? status : 403)
        assert.isNotEmpty(recorded, operation.name)
        for (const statement of recorded) {
          if (keyLookup.test(statement.text)) continue
          for (const table of tables.keys()) if (statement.text.includes(table)) touched.add(table)
          for (const fault of unrestricted(statement, tenant.id, tables)) faults.add(`${operation.name}: ${fault}`)
        }
      }
      assert.deepStrictEqual(Array.from(faults), [])
      // What is put into the outbox is for the actors, who work for all clients.
      const others = new Set(["api_keys", "outbox"])
      assert.sameMembers(Array.from(touched), Array.from(tables.keys()).filter((table) => !others.has(table)))
    }))

  it("a statement that leaves the client out of any of its queries is noticed", () => {
    const tables: TenantTables = new Map([["attempts", null], ["deliveries", "client_id"], ["events", "client_id"]])
    const look = (text: string, ...values: ReadonlyArray<unknown>) => unrestricted({ text, values }, "a", tables).length
    const both = "SELECT FROM deliveries d JOIN events e ON e.id = d.event_id AND e.client_id = d.client_id"
    assert.strictEqual(look(`${both} WHERE d.client_id = $1`, "a"), 0)
    assert.strictEqual(look(`${both} WHERE d.client_id = $1`, "b"), 2, "another client's")
    assert.strictEqual(look(`${both} WHERE d.client_id = $1`, null), 2, "everybody's")
    assert.strictEqual(look(`${both} -- WHERE d.client_id = $1`, "a"), 2, "a comment")
    assert.strictEqual(look("SELECT FROM events e, deliveries d WHERE e.client_id = $1", "a"), 1)
    assert.strictEqual(look("SELECT FROM events WHERE ($1::text IS NULL OR client_id = $1)", "a"), 0)
    assert.strictEqual(look("SELECT (SELECT 1 FROM deliveries) FROM events WHERE client_id = $1", "a"), 1)
    assert.strictEqual(look("(SELECT 1 FROM events WHERE client_id = $1) UNION SELECT 1 FROM events", "a"), 1)
    assert.strictEqual(look("WITH x AS (DELETE FROM events RETURNING *) SELECT FROM x WHERE client_id = $1", "a"), 1)
    assert.strictEqual(look("UPDATE events AS e SET body = '' FROM x WHERE e.id = x.id", "a"), 1)
    assert.strictEqual(look("SELECT FROM attempts WHERE delivery_id = $1", "a"), 1)
    const attempts = "SELECT FROM deliveries d JOIN attempts a ON a.delivery_id = d.id"
    assert.strictEqual(look(`${attempts} WHERE d.client_id = $1`, "a"), 0)
    assert.strictEqual(look(attempts, "a"), 2)
    assert.strictEqual(look("INSERT INTO events (id, body) VALUES ($1, $2)", "a"), 1)
    assert.strictEqual(look("INSERT INTO events (id, client_id) VALUES ($1, $2)", "a"), 0)
  })
})
