import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as ApiClient from "../support/ApiClient.ts"
import * as EmbeddedService from "../support/EmbeddedService.ts"
import { eventually } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Service from "../support/Service.ts"

const encryptionKey = Buffer.alloc(32, "canary-encryption-key").toString("base64")

/** What an owner entrusts to us, each where it belongs. */
const entrusted = {
  secret: "canary-secret-chosen",
  rotated: "canary-secret-rotated",
  replaced: "canary-secret-replaced",
  header: "canary-header-value",
  newHeader: "canary-header-changed"
}

/** What comes where it does not belong, or is not usable. */
const misplaced = {
  unknownField: "canary-in-unknown-field",
  wrongType: "canary-in-wrong-type",
  unusableSecret: "canary-unusable-sécret",
  unusableHeader: "canary-unusable-\u0000header",
  headerName: "canary name of a header",
  token: "canaryc0ffee".padEnd(64, "0"),
  payload: "canary-in-payload",
  query: "canary-in-query"
}

/** Bytes may be written in many ways. */
const formsOf = (text: string): ReadonlyArray<string> => {
  const bytes = Buffer.from(text)
  return [
    text,
    bytes.toString("hex"),
    bytes.toString("base64").replace(/=+$/, "").slice(0, -1),
    encodeURIComponent(text),
    JSON.stringify(text).slice(1, -1)
  ]
}

const assertWithout = (where: string, text: string, canaries: ReadonlyArray<string>) => {
  for (const canary of canaries) {
    for (const form of formsOf(canary)) assert.notInclude(text, form, `${where} has ${canary}`)
  }
}

/** Every row of every table as text; bytes in hex. */
const dump = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* sql<{ name: string }>`
    SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  `
  assert.includeMembers(tables.map(({ name }) => name), ["api_keys", "audit_log", "deliveries", "webhooks"])
  const rows = yield* Effect.forEach(
    tables,
    ({ name }) => sql<{ row: string }>`SELECT t::text AS row FROM ${sql(name)} t`
  )
  return rows.flat().map(({ row }) => row).join("\n")
})

/** All that is done with secrets, rightly and wrongly; answers what was shown on purpose, and everything else. */
const useSecrets = ({ api, base }: Service.Running, url: string) =>
  Effect.gen(function*() {
    const answers: Array<string> = []
    const send = (...call: Parameters<ApiClient.ApiClient["send"]>) =>
      Effect.map(api.send(...call), ({ text }) => {
        answers.push(text)
        return text
      })
    const reveal = (...call: Parameters<ApiClient.ApiClient["send"]>) =>
      Effect.map(api.send(...call), ({ text }) => JSON.parse(text))

    const chosen = yield* reveal("POST", "/api/webhooks", {
      url: `${url}?token=${misplaced.query}`,
      events: ["*"],
      secret_key: entrusted.secret,
      headers: { Authorization: `Bearer ${entrusted.header}` }
    })
    const generated = yield* reveal("POST", "/api/webhooks", { url, events: ["*"] })
    const rotated = yield* reveal("POST", `/api/webhooks/${generated.id}/secret/rotate`, {})
    yield* reveal("POST", `/api/webhooks/${chosen.id}/secret/rotate`, { secret_key: entrusted.rotated })
    const key = yield* reveal("POST", "/api/clients/default/keys", { role: "client" })
    const { deliveries } = yield* api.publish("canary.sent", { password: misplaced.payload, id: 1 })
    for (const { id } of deliveries) {
      yield* eventually(api.delivery(id), ({ attempt_count }) => attempt_count > 0)
      yield* send("GET", `/api/deliveries/${id}`)
      yield* send("POST", `/api/deliveries/${id}/retry?wait_ms=5000`)
    }
    const path = `/api/webhooks/${chosen.id}`
    yield* send("POST", `${path}/ping`)
    yield* send("POST", `${path}/test`, { payload: { senha: misplaced.payload } })
    yield* send("PATCH", path, { secret_key: entrusted.replaced, headers: { "X-Api-Key": entrusted.newHeader } })
    for (
      const body of [
        { secret: misplaced.unknownField },
        { secret_key: { value: misplaced.wrongType } },
        { secret_key: misplaced.unusableSecret },
        { headers: { Authorization: misplaced.unusableHeader } },
        { headers: { [misplaced.headerName]: entrusted.header } },
        { headers: misplaced.wrongType }
      ]
    ) {
      yield* send("PATCH", path, body)
      yield* send("POST", "/api/webhooks", { url, events: ["*"], ...body })
      yield* send("POST", `${path}/secret/rotate`, body)
    }
    const stranger = ApiClient.make(base, `dhw_01jmh2v3s8e5xt6dq4t9v0r1kz_${misplaced.token}`)
    const refused = yield* stranger.send("GET", "/api/webhooks")
    assert.strictEqual(refused.status, 401)
    answers.push(refused.text)
    yield* send("POST", `${path}/ping`)
    for (const about of ["", "/health", "/deliveries"]) yield* send("GET", `${path}${about}`)
    for (const list of ["webhooks", "events", "audit", "clients", "clients/default/keys", "system"]) {
      yield* send("GET", `/api/${list}`)
    }
    yield* send("DELETE", `/api/webhooks/${generated.id}`)
    return {
      answers: answers.join("\n"),
      probes: `${yield* send("GET", "/metrics")}\n${yield* send("GET", "/openapi.json")}`,
      generated: [generated.secret, rotated.secret, key.token.split("_")[2]]
    }
  })

layer(PgTest.layer, { timeout: "90 seconds", excludeTestServices: true })("Secrets", (it) => {
  it.scoped("M90 appear in no log, span, metric, problem, document or database dump, and are shown once", () =>
    Effect.gen(function*() {
      const collector = yield* ScriptedReceiver.make()
      // One answer of each kind: success, failure, an answer that repeats what it was sent.
      const receiver = yield* ScriptedReceiver.make([{ status: 200 }, { status: 500 }, { status: 200 }])
      const dataDirectory = yield* EmbeddedService.directory()
      const databaseUrl = yield* PgTest.url
      const child = yield* Service.serve({
        dataDirectory,
        env: {
          DATABASE_URL: databaseUrl,
          LOG_LEVEL: "ALL",
          OTEL_EXPORTER_OTLP_ENDPOINT: collector.url("/").href,
          WEBHOOKS_ENCRYPTION_KEYS: `canary:${encryptionKey}`
        }
      })
      const { answers, generated, probes } = yield* useSecrets(child, receiver.url().href)
      const text = yield* dump
      yield* child.kill("SIGTERM")

      const telemetry = collector.received.map((request) => request.text).join("\n")
      const paths = new Set(collector.received.map(({ path }) => path))
      assert.deepStrictEqual(Array.from(paths).toSorted(), ["/v1/logs", "/v1/metrics", "/v1/traces"])
      for (const name of ["dispatch.attempt", "definition.updated", "webhook registered", "delivery.attempts"]) {
        assert.include(telemetry, name, "the collector was told")
      }
      const output = yield* child.heard
      assert.include(output, "secret rotated")

      const secrets = [...Object.values(entrusted), ...generated, encryptionKey, new URL(databaseUrl).password]
      const [operatorKey = ""] = /dhw_\w+/.exec(output) ?? []
      const everywhere = [...secrets.filter((secret) => secret.length > 8), ...Object.values(misplaced)]
      assertWithout("the log", output, everywhere)
      assertWithout("telemetry", telemetry, [...everywhere, operatorKey])
      const isShown = (canary: string) => canary === misplaced.query || canary === misplaced.headerName
      assertWithout("an answer", answers, everywhere.filter((canary) => !isShown(canary)))
      assertWithout("a document", probes, [...everywhere, operatorKey])
      assertWithout("the database", text, [...everywhere.filter((canary) => canary !== misplaced.query), operatorKey])
      assert.lengthOf(output.split(operatorKey), 2, "the operator's key is printed once")

      const sent = receiver.received.map(({ headers }) => JSON.stringify(headers)).join("\n")
      for (const header of [entrusted.header, entrusted.newHeader]) {
        assert.include(sent, header, "and they did their work")
      }
    }))
})
