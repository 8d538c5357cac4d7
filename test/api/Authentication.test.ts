import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Client } from "undici"
import { ApiTest, expectStatus, layer as Api } from "../support/ApiTest.ts"

/** All over one connection, one after the other, with the headers that the last one had. */
const connection = Effect.gen(function*() {
  const { port } = yield* ApiTest
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => new Client(`http://127.0.0.1:${port}`, { pipelining: 1 })),
    (client) => Effect.promise(() => client.destroy())
  )
  let opened = 0
  client.on("connect", () => opened += 1)
  const ask = (authorization: string | null, publish: boolean) =>
    Effect.promise(async () => {
      const { body, statusCode } = await client.request({
        method: publish ? "POST" : "GET",
        path: publish ? "/api/events" : "/api/webhooks",
        headers: { "content-type": "application/json", ...(authorization === null ? {} : { authorization }) },
        body: publish ? JSON.stringify({ event_type: "deal.won", payload: {} }) : null
      })
      await body.dump()
      return statusCode
    })
  return { ask, opened: () => opened }
})

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Authentication", (it) => {
  for (
    const { name, publish } of [{ name: "a request", publish: false }, { name: "one that publishes", publish: true }]
  ) {
    it.scoped(`of ${name} goes by what it says itself, whoever spoke before on its connection`, () =>
      Effect.gen(function*() {
        const { a, b } = yield* ApiTest
        const { ask, opened } = yield* connection
        const good = publish ? 202 : 200
        const [first = "", second = ""] = [a, b].map(({ client }) => `Bearer ${client.token}`)
        for (const authorization of [first, second, first]) {
          assert.strictEqual(yield* ask(authorization, publish), good)
        }
        assert.strictEqual(opened(), 1)
        // A refusal of what has a body is the end of its connection.
        for (const authorization of [null, `${first}0`, first.replace("Bearer", "Basic"), first.slice(0, -1)]) {
          assert.strictEqual(yield* ask(first, publish), good)
          assert.strictEqual(yield* ask(authorization, publish), 401)
        }
      }))

    it.scoped(`of ${name} ends with its key, on a connection that it was good for before`, () =>
      Effect.gen(function*() {
        const { a, operator } = yield* ApiTest
        const { ask, opened } = yield* connection
        const { id, token } =
          expectStatus(yield* operator.post(`/api/clients/${a.id}/keys`, { role: "client" }), 201).json
        assert.strictEqual(yield* ask(`Bearer ${token}`, publish), publish ? 202 : 200)
        expectStatus(yield* operator.del(`/api/clients/${a.id}/keys/${id}`), 204)
        assert.strictEqual(yield* ask(`Bearer ${token}`, publish), 401)
        assert.strictEqual(opened(), 1)
      }))
  }
})
