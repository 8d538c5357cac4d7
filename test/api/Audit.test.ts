import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api, type Sender } from "../support/ApiTest.ts"

const actionsOn = (sender: Sender, resourceId: string) =>
  Effect.map(
    Rows.read(sender, `/api/audit?limit=200&resource_id=${resourceId}`),
    ({ data }) => data.toReversed()
  )

const keyOf = (sender: Sender) => `key_${sender.token?.split("_")[1]}`

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Audit", (it) => {
  it.scoped("a webhook's whole life is on record: who, from where, what it was and what it became", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { client, id: clientId } = yield* newTenant
      const webhook = yield* Rows.register(client, {
        name: "CRM",
        url: "http://127.0.0.1:1024/hook?token=canary",
        headers: { "X-Secret": "canary-value" },
        secret_key: "canary-secret-1"
      })
      const path = `/api/webhooks/${webhook.id}`
      expectStatus(yield* client.patch(path, { name: "ERP", url: "http://127.0.0.1:1024/hook?token=canary-2" }), 200)
      expectStatus(yield* client.patch(path, {}), 200)
      expectStatus(yield* operator.patch(path, { headers: {}, secret_key: "canary-secret-2" }), 200)
      expectStatus(yield* client.post(`${path}/secret/rotate`, { overlap_seconds: 0 }), 200)
      expectStatus(yield* client.del(path), 204)

      const entries = yield* actionsOn(client, webhook.id)
      assert.deepStrictEqual(entries.map(({ action }: { action: string }) => action).toSorted(), [
        "webhook.created",
        "webhook.deleted",
        "webhook.secret_revealed",
        "webhook.secret_revealed",
        "webhook.secret_rotated",
        "webhook.updated",
        "webhook.updated"
      ])
      const [renamed, replaced] = entries.filter(({ action }: { action: string }) => action === "webhook.updated")
      assert.deepStrictEqual(renamed.before, { name: "CRM", url: "http://127.0.0.1:1024/hook?[REDACTED]" })
      assert.deepStrictEqual(renamed.after, { name: "ERP", url: "http://127.0.0.1:1024/hook?[REDACTED]" })
      assert.deepInclude(renamed, {
        client_id: clientId,
        resource_id: webhook.id,
        key_id: keyOf(client),
        role: "client",
        address: "127.0.0.1"
      })
      assert.deepStrictEqual(replaced.before, { header_names: ["X-Secret"] })
      assert.deepStrictEqual(replaced.after, { header_names: [], secret: "replaced", header_values: "replaced" })
      assert.deepInclude(replaced, { key_id: keyOf(operator), role: "operator", address: null })
      const asOperator = (yield* actionsOn(operator, webhook.id)).find(({ role }: { role: string }) =>
        role === "operator"
      )
      assert.strictEqual(asOperator.address, "127.0.0.1", "its own address an operator does see")
      assert.notInclude(JSON.stringify(entries), "canary")
    }))

  it.effect("keys, clients and event types too, each once, and a key's token never", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { id } = yield* newTenant
      const issued = expectStatus(yield* operator.post(`/api/clients/${id}/keys`, { role: "viewer", name: "BI" }), 201)
      const key = issued.json.id
      expectStatus(yield* operator.del(`/api/clients/${id}/keys/${key}`), 204)
      expectStatus(yield* operator.del(`/api/clients/${id}/keys/${key}`), 204)
      const ofKey = yield* actionsOn(operator, key)
      const actions = ofKey.map(({ action }: { action: string }) => action)
      assert.sameMembers(actions, ["api_key.created", "api_key.secret_revealed", "api_key.revoked"])
      assert.deepStrictEqual(
        ofKey.find(({ action }: { action: string }) => action === "api_key.created").after,
        { role: "viewer", name: "BI", expires_at: null }
      )
      assert.notInclude(JSON.stringify(ofKey), issued.json.token.split("_")[2])
      const [made] = yield* actionsOn(operator, id)
      assert.deepInclude(made, { action: "client.created", client_id: id, after: { name: null, alert_email: null } })

      yield* operator.put("/api/event-types/audit.told", { description: "one" })
      yield* operator.put("/api/event-types/audit.told", { description: "two" })
      expectStatus(yield* operator.del("/api/event-types/audit.told"), 204)
      const ofType = yield* actionsOn(operator, "audit.told")
      const told = ofType.map(({ action, after, before }: Record<string, { description: string } | null>) => [
        action,
        before?.description ?? null,
        after?.description ?? null
      ])
      assert.deepStrictEqual(told, [
        ["event_type.created", null, "one"],
        ["event_type.updated", "one", "two"],
        ["event_type.deleted", "two", null]
      ])
    }))

  it.scoped("a retry by hand is on record, one that was refused is not", () =>
    Effect.gen(function*() {
      const { newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const receiver = yield* Rows.receiver({ status: 400 })
      yield* Rows.register(client, { url: receiver.url(), events: ["audit.retried"] })
      const { id } = yield* Rows.deliver(client, "audit.retried")
      expectStatus(yield* client.post(`/api/deliveries/${id}/retry?wait_ms=10000`), 200)
      const [entry, ...others] = yield* actionsOn(client, id)
      assert.deepInclude(entry, {
        action: "delivery.retried",
        before: { status: "failed_permanent", attempt_count: 1 },
        after: { status: "pending", attempt_count: 1 }
      })
      assert.isEmpty(others)
      const unknown = "dlv_01jmh2v3s8e5xt6dq4t9v0r1kz"
      expectProblem(yield* client.post(`/api/deliveries/${unknown}/retry`), 404, "delivery_not_found")
      assert.isEmpty(yield* actionsOn(client, unknown))
    }))

  it.scoped("a webhook that the service switches off by itself is on record as its doing", () =>
    Effect.gen(function*() {
      const { newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const receiver = yield* Rows.receiver({ status: 410 })
      const webhook = yield* Rows.register(client, { url: receiver.url(), events: ["audit.gone"] })
      yield* Rows.deliver(client, "audit.gone")
      const { data: [entry] } = yield* Rows.read(client, "/api/audit?action=webhook.deactivated")
      assert.deepInclude(entry, {
        resource_id: webhook.id,
        role: "system",
        key_id: null,
        after: { deactivation_reason: "gone", is_active: false }
      })
    }))

  it.effect("what fails or is refused leaves no entry", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { client, id } = yield* newTenant
      const webhook = yield* Rows.register(client)
      const before = yield* Rows.read(operator, `/api/audit?client_id=${id}`)
      expectProblem(
        yield* client.patch(`/api/webhooks/${webhook.id}`, { url: "http://10.0.0.1/" }),
        422,
        "url_forbidden_address"
      )
      expectProblem(yield* operator.post("/api/clients", { id }), 409, "already_exists")
      expectProblem(yield* client.post(`/api/clients/${id}/keys`, { role: "viewer" }), 403, "forbidden")
      assert.deepStrictEqual(yield* Rows.read(operator, `/api/audit?client_id=${id}`), before)
    }))

  it.effect("a tenant reads what concerns it, page by page, and nothing else", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const [mine, other] = [yield* newTenant, yield* newTenant]
      for (let i = 0; i < 3; i++) yield* Rows.register(mine.client)
      const foreign = yield* Rows.register(other.client)
      const seen: Array<string> = []
      let cursor = ""
      do {
        const { data, page } = yield* Rows.read(mine.viewer, `/api/audit?limit=2${cursor}`)
        for (const entry of data) {
          assert.strictEqual(entry.client_id, mine.id)
          seen.push(entry.id)
        }
        cursor = page.next_cursor === null ? "" : `&cursor=${page.next_cursor}`
      } while (cursor !== "")
      // A client, three keys with what they revealed, three webhooks with theirs.
      assert.strictEqual(new Set(seen).size, 13)
      assert.isEmpty(yield* actionsOn(mine.client, foreign.id))
      expectProblem(yield* mine.client.get(`/api/audit?client_id=${other.id}`), 404, "client_not_found")
      expectProblem(yield* mine.publisher.get("/api/audit"), 403, "forbidden")
      assert.isNotEmpty(yield* actionsOn(operator, foreign.id))
    }))

  it.effect("the service's own role can add to it and do nothing else", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const count = sql<{ n: number }>`SELECT count(*)::int AS n FROM audit_log`
      const before = yield* count
      const statements = [
        sql`UPDATE audit_log SET role = 'operator'`,
        sql`DELETE FROM audit_log`,
        sql`TRUNCATE audit_log`,
        sql.withTransaction(
          Effect.zipRight(sql`SET LOCAL session_replication_role = replica`, sql`DELETE FROM audit_log`)
        )
      ]
      for (const statement of statements) {
        const { cause } = yield* Effect.flip(statement)
        assert.include(String(cause), "audit_log is append-only")
      }
      assert.deepStrictEqual(yield* count, before)
    }))
})
