import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { fill, type Ids, operations, resourcesIn, split } from "../support/ApiOperations.ts"
import * as Rows from "../support/ApiRows.ts"
import { type Answer, ApiTest, expectProblem, expectStatus, layer as Api, type Sender } from "../support/ApiTest.ts"

const unknown: Ids = {
  alert: "alr_01jmh2v3s8e5xt6dq4t9v0r1kz",
  api_key: "key_01jmh2v3s8e5xt6dq4t9v0r1kz",
  client: "tenant-z",
  delivery: "dlv_01jmh2v3s8e5xt6dq4t9v0r1kz",
  event: "evt_01jmh2v3s8e5xt6dq4t9v0r1kz",
  event_type: "no.such",
  webhook: "whk_01jmh2v3s8e5xt6dq4t9v0r1kz"
}

const misspelt = (id: string): ReadonlyArray<string> => [
  id.slice(0, -1),
  `${id}0`,
  id.toUpperCase(),
  id.replace("_", "-"),
  `xyz_${id.slice(4)}`,
  id.slice(4),
  "0194f1a2-7c00-7000-8000-000000000000",
  "-1",
  "%00",
  "%F0%9F%92%A5",
  "'%20OR%20''='",
  "x".repeat(90)
]

/** The routes about one row, and what their id names. */
const routes = Object.entries(operations).flatMap(([name, { body, roles }]) => {
  const resources = resourcesIn(name)
  return resources.length === 0 ? [] : [{ ...split(name), body, resources, isTenants: roles.includes("client") }]
})

const ask = (sender: Sender, { body, method, path }: (typeof routes)[number], ids: Ids) =>
  sender.send({ method, path: fill(path, ids), ...(body && { body: JSON.stringify(body) }) })

/** All of an answer, with the id that was asked for taken out. */
const anonymous = ({ headers, status, text }: Answer, id: string) => ({
  headers: { ...headers, date: "…" },
  status,
  text: text.replaceAll(id, "…")
})

const publishOnce = (sender: Sender, payload: object) =>
  sender.post("/api/events", { event_type: "f81.happened", payload }, { "idempotency-key": "shared" })

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Tenancy", (it) => {
  it.scoped("K79 another tenant's id answers as an unknown one, to the byte, and nothing happens to its row", () =>
    Effect.gen(function*() {
      const { a, b } = yield* ApiTest
      const receiver = yield* Rows.receiver()
      const webhook = yield* Rows.register(a.client, { url: receiver.url(), events: ["f79.happened"] })
      const delivery = yield* Rows.deliver(a.client, "f79.happened")
      const alert = yield* Rows.raise(webhook)
      const foreign: Ids = { ...unknown, alert, webhook: webhook.id, delivery: delivery.id, event: delivery.event_id }
      const look = Effect.all([
        `/api/webhooks/${webhook.id}`,
        `/api/webhooks/${webhook.id}/deliveries`,
        `/api/deliveries/${delivery.id}`,
        `/api/events/${delivery.event_id}`,
        "/api/events",
        "/api/alerts"
      ].map((path) => Rows.read(a.client, path)))
      const before = yield* look
      const tried = routes.filter(({ isTenants }) => isTenants)
      assert.lengthOf(tried, 14)
      for (const route of tried) {
        const [resource] = route.resources
        assert(resource)
        const answers = yield* Effect.all([ask(b.client, route, foreign), ask(b.client, route, unknown)])
        for (const answer of answers) expectProblem(answer, 404, `${resource}_not_found`)
        assert.deepStrictEqual(
          anonymous(answers[0], foreign[resource]),
          anonymous(answers[1], unknown[resource]),
          `${route.method} ${route.path}`
        )
      }
      assert.deepStrictEqual(yield* look, before)
      assert.lengthOf(receiver.received, 1, "and nothing was sent")
    }))

  it.effect("an id that is misspelt is a 404 like one that is unknown", () =>
    Effect.gen(function*() {
      const { operator } = yield* ApiTest
      for (const route of routes) {
        const resource = route.resources.at(-1)
        assert(resource)
        const isName = resource === "client" || resource === "event_type"
        // Any name is a good name for a type, so a put would make it.
        if (isName && route.method === "PUT") continue
        for (const id of isName ? ["%00", "a%20b", "..%2F", "-", "x".repeat(129)] : misspelt(unknown[resource])) {
          const answer = yield* ask(operator, route, { ...unknown, client: "tenant-a", [resource]: id })
          expectProblem(answer, 404, `${resource}_not_found`)
        }
      }
    }))

  it.effect("a tenant's key names no other client, known or not, in a body or a filter", () =>
    Effect.gen(function*() {
      const { a, b } = yield* ApiTest
      const event = { event_type: "deal.won", payload: {} }
      const asks = (client_id: string) => [
        b.client.post("/api/webhooks", { url: Rows.deadUrl, events: ["*"], client_id }),
        b.client.post("/api/events", { ...event, client_id }),
        b.publisher.post("/api/events", { ...event, client_id }),
        b.client.post("/api/events/batch", { events: [{ ...event, client_id }] }),
        b.viewer.get(`/api/webhooks?client_id=${client_id}`),
        b.viewer.get(`/api/events?client_id=${client_id}`),
        b.viewer.get(`/api/alerts?client_id=${client_id}`)
      ]
      const foreign = yield* Effect.all(asks(a.id))
      const strange = yield* Effect.all(asks(unknown.client))
      foreign.forEach((answer, i) => {
        const other = strange[i]
        assert(other)
        expectProblem(answer, 404, "client_not_found")
        assert.deepStrictEqual(anonymous(answer, a.id), anonymous(other, unknown.client))
      })
      for (const path of ["/api/webhooks", "/api/events"]) {
        assert.isEmpty((yield* Rows.read(b.client, `${path}?client_id=${b.id}`)).data, "its own it may name")
      }
    }))

  it.effect("an operator names the client, and means the default one where it names none", () =>
    Effect.gen(function*() {
      const { b, operator } = yield* ApiTest
      const named = yield* Rows.register(operator, { client_id: b.id, events: ["operator.named"] })
      const unnamed = yield* Rows.register(operator, { events: ["operator.named"] })
      assert.deepStrictEqual([named.client_id, unnamed.client_id], [b.id, "default"])
      const published = yield* Rows.publish(operator, "operator.named", {}, { client_id: b.id })
      assert.deepStrictEqual(published.deliveries.map(({ webhook_id }: { webhook_id: string }) => webhook_id), [
        named.id
      ])
      assert.strictEqual((yield* Rows.read(operator, `/api/events/${published.event_id}`)).client_id, b.id)
      for (const path of ["/api/webhooks", "/api/events"]) {
        const body = path === "/api/events" ? { event_type: "a.b", payload: {} } : { url: Rows.deadUrl, events: ["*"] }
        expectProblem(yield* operator.post(path, { ...body, client_id: unknown.client }), 404, "client_not_found")
      }
    }))

  it.effect("K81 another tenant's cursor leads to own rows only", () =>
    Effect.gen(function*() {
      const { newTenant } = yield* ApiTest
      const [mine, other] = [yield* newTenant, yield* newTenant]
      const own = [yield* Rows.register(mine.client), yield* Rows.register(mine.client)]
      for (let i = 0; i < 3; i++) yield* Rows.register(other.client)
      const { page } = yield* Rows.read(other.client, "/api/webhooks?limit=1")
      const found = yield* Rows.read(mine.client, `/api/webhooks?cursor=${page.next_cursor}`)
      assert.deepStrictEqual(found.data.map(({ id }: { id: string }) => id), [own[1].id, own[0].id])
    }))

  it.effect("K81 an idempotency key belongs to the client that used it", () =>
    Effect.gen(function*() {
      const { a, b } = yield* ApiTest
      const first = expectStatus(yield* publishOnce(a.client, { n: 1 }), 202)
      const others = expectStatus(yield* publishOnce(b.client, { n: 2 }), 202)
      assert.notStrictEqual(first.json.event_id, others.json.event_id)
      assert.strictEqual((yield* publishOnce(a.publisher, { n: 1 })).text, first.text, "and to all of its keys")
    }))
})
