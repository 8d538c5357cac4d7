import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import type { Role } from "../../src/domain/Client.ts"
import { fill, type Ids, type Operation, operations, resourcesIn, split } from "../support/ApiOperations.ts"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api, type Tenant } from "../support/ApiTest.ts"
import type { ScriptedReceiver } from "../support/ScriptedReceiver.ts"

/** Rows that any operation may be asked about once: some end them. */
const makeRows = (tenant: Tenant, receiver: ScriptedReceiver, type: string) =>
  Effect.gen(function*() {
    const { operator } = yield* ApiTest
    const webhook = yield* Rows.register(tenant.client, { url: receiver.url(), events: [type] })
    const delivery = yield* Rows.deliver(tenant.client, type)
    const issued = yield* operator.post(`/api/clients/${tenant.id}/keys`, { role: "viewer" })
    yield* operator.put(`/api/event-types/${type}`, {})
    const ids: Ids = {
      alert: yield* Rows.raise(webhook),
      api_key: expectStatus(issued, 201).json.id,
      client: tenant.id,
      delivery: delivery.id,
      event: delivery.event_id,
      event_type: type,
      webhook: webhook.id
    }
    return ids
  })

const ask = (role: Role, name: string, { body }: Operation, ids: Ids) =>
  Effect.gen(function*() {
    const { a, operator } = yield* ApiTest
    const { method, path } = split(name)
    // A client's name is taken after its first use.
    const sent = name === "POST /api/clients" ? { id: `made-by-${role}` } : body
    const sender = role === "operator" ? operator : a[role]
    return yield* sender.send({
      method,
      path: fill(path, ids),
      headers: { "content-type": "application/json" },
      ...(sent && { body: JSON.stringify(sent) })
    })
  })

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Roles", (it) => {
  for (const role of ["operator", "client", "publisher", "viewer"] as const) {
    it.scoped(`a key of role ${role} may do what its role says, and is told of the rest that it may not`, () =>
      Effect.gen(function*() {
        const { a } = yield* ApiTest
        const receiver = yield* Rows.receiver()
        const untouched = yield* makeRows(a, receiver, `${role}.may-not`)
        const mayDo: Array<string> = []
        for (const [n, [name, operation]] of Object.entries(operations).entries()) {
          const isAllowed = operation.roles.includes(role)
          const needsRows = isAllowed && resourcesIn(name).length > 0
          const ids = needsRows ? yield* makeRows(a, receiver, `${role}.may.n${n}`) : untouched
          const answer = yield* ask(role, name, operation, ids)
          if (isAllowed) {
            expectStatus(answer, operation.status)
            mayDo.push(name)
          } else {
            const { json } = expectProblem(answer, 403, "forbidden")
            assert.include(json.detail, role)
          }
        }
        assert.lengthOf(mayDo, { operator: 31, client: 22, publisher: 2, viewer: 12 }[role])
      }))
  }

  it.effect("what is forbidden leaves no trace", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { client, id, publisher, viewer } = yield* newTenant
      const webhook = yield* Rows.register(client)
      for (const sender of [publisher, viewer]) {
        expectProblem(yield* sender.patch(`/api/webhooks/${webhook.id}`, { name: "taken" }), 403, "forbidden")
        expectProblem(yield* sender.del(`/api/webhooks/${webhook.id}`), 403, "forbidden")
        expectProblem(yield* sender.post("/api/clients", { id: `${id}-own` }), 403, "forbidden")
        expectProblem(
          yield* sender.post("/api/webhooks", { url: Rows.deadUrl, events: ["*"] }),
          403,
          "forbidden"
        )
      }
      expectProblem(yield* viewer.post("/api/events", { event_type: "deal.won", payload: {} }), 403, "forbidden")
      const { secret: _, warnings: _w, ...registered } = webhook
      assert.deepStrictEqual((yield* Rows.read(client, "/api/webhooks")).data, [registered])
      assert.deepStrictEqual((yield* Rows.read(client, "/api/events")).data, [])
      expectProblem(yield* operator.get(`/api/clients/${id}-own/keys`), 404, "client_not_found")
    }))

  it.effect("a key's role is looked at before the row that it asks for", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const unknown = "whk_01jmh2v3s8e5xt6dq4t9v0r1kz"
      expectProblem(yield* a.publisher.get(`/api/webhooks/${unknown}`), 403, "forbidden")
      expectProblem(yield* a.viewer.del(`/api/webhooks/${unknown}`), 403, "forbidden")
      expectProblem(yield* a.viewer.get(`/api/webhooks/${unknown}`), 404, "webhook_not_found")
    }))
})
