/** The other arrangement: policies on every table of tenants, a role that they bind, and one that they do not. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"

export const bound = "bench_bound"
export const free = "bench_free"
/** Of both roles, on a server of this run alone. */
export const password = "bench"

const tables = ["webhooks", "subscriptions", "events", "deliveries", "idempotency_keys", "api_keys"]

export const apply = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  for (const [role, may] of [[bound, "NOBYPASSRLS"], [free, "BYPASSRLS"]] as const) {
    yield* sql.unsafe(`CREATE ROLE ${role} LOGIN NOSUPERUSER ${may} PASSWORD '${password}'`)
    yield* sql.unsafe(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${role}`)
  }
  for (const table of tables) {
    yield* sql.unsafe(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`)
    yield* sql.unsafe(`ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`)
    yield* sql.unsafe(
      `CREATE POLICY own_client ON ${table} USING (client_id = current_setting('app.client_id', true))`
    )
  }
})

const columns: Readonly<Record<string, string>> = {
  publish: `event_id uuid, delivery_id uuid, webhook_id uuid, is_leased boolean, hold text, url text, signatures text[],
    retry_count integer, timeout_ms integer, secret_sealed bytea, headers_sealed bytea, previous_secret_sealed bytea`,
  list: "id uuid, client_id text, event_type text, occurred_at timestamptz, created_at timestamptz"
}

/**
 * The store's own statement in two functions of the same parameters and the client as the last one: `…_bound` sets the
 * client first, `…_free` does not, which shows what a function alone changes.
 */
export const makeFunctions = (name: "list" | "publish", text: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const connection = yield* sql.reserve
    yield* connection.executeRaw(`PREPARE typed AS ${text}`, [])
    const [row] = yield* connection.executeValues(
      "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = $1",
      ["typed"]
    )
    yield* connection.executeRaw("DEALLOCATE typed", [])
    const types = [...(row === undefined ? [] : row[0] as ReadonlyArray<string>), "text"]
    for (const kind of ["free", "bound"]) {
      const set = kind === "bound" ? `PERFORM set_config('app.client_id', $${types.length}, true);` : ""
      yield* connection.executeRaw(
        `CREATE FUNCTION ${name}_${kind}(${types.join()}) RETURNS TABLE (${columns[name]}) LANGUAGE plpgsql
         SET plan_cache_mode = force_custom_plan AS $body$
         #variable_conflict use_column
         BEGIN ${set} RETURN QUERY ${text}; END $body$`,
        []
      )
    }
  }).pipe(Effect.scoped)
