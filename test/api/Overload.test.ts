import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Queue } from "effect"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, make, type Sender } from "../support/ApiTest.ts"
import { eventually, soon } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"
import * as RawHttp from "../support/RawHttp.ts"

const places = 8

const Api = make({
  databaseUrl: PgTest.url,
  settings: { WEBHOOKS_MAX_CONCURRENT_REQUESTS: String(places), WEBHOOKS_REQUEST_TIMEOUT_SECONDS: "120" }
}).pipe(Layer.provideMerge(PgTest.layer))

const body = "{\"event_type\": \"over.loaded\", \"payload\": {}}"

/** Requests that take every place: all of them but the last byte of its body. */
const occupy = (sender: Sender) =>
  Effect.gen(function*() {
    const { port } = yield* ApiTest
    const expecting = { "content-length": String(body.length), expect: "100-continue" }
    const held = yield* Effect.replicateEffect(RawHttp.connect(port), places)
    for (const { answer, write } of held) {
      yield* write(RawHttp.head("POST /api/events", sender.token, expecting))
      // That it may go on is said in the moment in which it takes its place.
      assert.strictEqual((yield* soon(answer)).status, 100)
      yield* write(body.slice(0, -1))
    }
    return {
      finish: Effect.forEach(held, ({ answer, write }) => Effect.zipRight(write(body.slice(-1)), soon(answer)), {
        concurrency: "unbounded"
      }),
      abandon: Effect.sync(() => held.forEach(({ socket }) => socket.destroy()))
    }
  })

/** What is left of buffers once nobody refers to them any more. */
const buffered = Effect.sync(() => {
  setFlagsFromString("--expose-gc")
  const collect: unknown = runInNewContext("gc")
  if (typeof collect === "function") collect()
  return process.memoryUsage().arrayBuffers
})

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Overload", (it) => {
  it.scoped("J75 with every place taken a request is a 429 at once, probes are answered, and what was let in is done", () =>
    Effect.gen(function*() {
      const { a, b, nobody, operator } = yield* ApiTest
      const { finish } = yield* occupy(a.client)
      for (const sender of [a.client, b.viewer, operator, nobody]) {
        const answer = expectProblem(yield* sender.get("/api/webhooks"), 429, "overloaded")
        assert.strictEqual(answer.headers["retry-after"], "1")
      }
      for (const path of ["/healthz", "/readyz", "/metrics", "/HEALTHZ/"]) expectStatus(yield* nobody.get(path), 200)
      assert.deepStrictEqual((yield* finish).map(({ status }) => status), Array.from({ length: places }, () => 202))
      expectStatus(yield* a.client.get("/api/webhooks"), 200)
    }))

  it.scoped("J75 bodies of requests that are turned away are not kept", () =>
    Effect.gen(function*() {
      const { a, port } = yield* ApiTest
      const { finish } = yield* occupy(a.client)
      const large = Buffer.alloc(1_000_000, " ")
      const before = yield* buffered
      const head = RawHttp.head("POST /api/events", a.client.token, { "content-length": String(large.length + 1) })
      const clients = yield* Effect.replicateEffect(RawHttp.connect(port), 100)
      for (const { socket } of clients) {
        socket.write(head)
        yield* Effect.async<void>((resume) => void socket.write(large, () => resume(Effect.void)))
      }
      for (const { answer } of clients) {
        const { headers, json, status } = yield* soon(answer)
        assert.deepStrictEqual([status, json.code, headers["connection"]], [429, "overloaded", "close"])
      }
      assert.isBelow((yield* buffered) - before, 30_000_000, "of 100 MB that were sent")
      assert.isTrue((yield* finish).every(({ status }) => status === 202))
    }))

  it.scoped("J75 of many more requests than places each is taken or told to come back, and what was taken is delivered", () =>
    Effect.gen(function*() {
      const { attempted, newTenant, port } = yield* ApiTest
      const { client } = yield* newTenant
      const receiver = yield* Rows.receiver()
      const webhook = yield* Rows.register(client, { url: receiver.url() })
      const clients = yield* Effect.replicateEffect(RawHttp.connect(port), 200)
      const { finish } = yield* occupy(client)
      const request = RawHttp.head("POST /api/events", client.token, { "content-length": String(body.length) }) + body
      for (const { write } of clients) yield* write(request)
      const [first, ...others] = clients
      const turnedAway = first === undefined ? [] : [yield* soon(first.answer)]
      // In the middle of the flood places become free.
      const { early, late } = yield* Effect.all({
        early: finish,
        late: Effect.forEach(others, ({ answer }) => soon(answer), { concurrency: "unbounded" })
      }, { concurrency: "unbounded" })
      const answers = [...turnedAway, ...early, ...late]
      const taken = answers.filter(({ status }) => status === 202)
      const refused = answers.filter(({ status }) => status === 429)
      assert.strictEqual(taken.length + refused.length, answers.length)
      assert.isAtLeast(taken.length, places)
      assert.isNotEmpty(refused)
      assert.isTrue(early.every(({ status }) => status === 202))
      assert.isTrue(refused.every(({ headers, json }) => json.code === "overloaded" && headers["retry-after"] === "1"))
      const ids = taken.flatMap(({ json }) => json.deliveries.map(({ id }: { readonly id: string }) => id))
      assert.lengthOf(ids, taken.length)
      for (const id of ids) yield* soon(attempted(id))
      const heard = receiver.received.map(({ headers }) => headers["webhook-id"] ?? "")
      assert.sameMembers(heard, ids, "each exactly once, and nothing of what was refused")
      const { data } = yield* Rows.read(client, `/api/webhooks/${webhook.id}/deliveries?limit=200&status=delivered`)
      assert.lengthOf(data, ids.length)
    }))

  it.scoped("J75 whoever goes away gives the place back", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const { abandon } = yield* occupy(a.client)
      expectProblem(yield* a.client.get("/api/webhooks"), 429, "overloaded")
      yield* abandon
      yield* eventually(a.client.get("/api/webhooks"), ({ status }) => status === 200)
    }))

  it.scoped("J75 whoever sent requests ahead and goes away gives all of their places back", () =>
    Effect.gen(function*() {
      const { newTenant, port } = yield* ApiTest
      const { client } = yield* newTenant
      const receiver = yield* Rows.receiver(() => {})
      const { id } = yield* Rows.register(client, { url: receiver.url(), timeout_ms: 20_000 })
      const { socket, write } = yield* RawHttp.connect(port)
      const ping = RawHttp.head(`POST /api/webhooks/${id}/ping`, client.token, { "content-length": "0" })
      yield* write(ping + RawHttp.head("GET /api/webhooks", client.token).repeat(places - 1))
      yield* soon(Queue.take(receiver.requests))
      yield* eventually(client.get("/api/webhooks"), ({ status }) => status === 429)
      socket.destroy()
      yield* eventually(client.get("/api/webhooks"), ({ status }) => status === 200)
      // All of them: as many may come again.
      const { finish } = yield* occupy(client)
      assert.deepStrictEqual((yield* finish).map(({ status }) => status), Array.from({ length: places }, () => 202))
    }))

  it.scoped("J75 whoever has an answer and has yet to send the rest of a body holds no place", () =>
    Effect.gen(function*() {
      const { a, port } = yield* ApiTest
      const clients = yield* Effect.replicateEffect(RawHttp.connect(port), 2 * places)
      for (const { answer, write } of clients) {
        yield* write(RawHttp.head("POST /api/events", "dhw_unknown", { "content-length": "1000" }))
        assert.strictEqual((yield* soon(answer)).status, 401)
      }
      assert.isTrue(clients.every(({ socket }) => socket.readyState === "open"))
      expectStatus(yield* a.client.get("/api/webhooks"), 200)
    }))

  it.scoped("J75 requests that wait for an attempt take a quarter of the places, and leave the others alone", () =>
    Effect.gen(function*() {
      const { newTenant } = yield* ApiTest
      const [{ client }, other, third] = [yield* newTenant, yield* newTenant, yield* newTenant]
      const waiting: Array<() => void> = []
      const receiver = yield* Rows.receiver((_, socket) => {
        waiting.push(() => socket.end("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
      })
      const pingOf = (sender: Sender) =>
        Effect.map(
          Rows.register(sender, { url: receiver.url(), timeout_ms: 20_000 }),
          ({ id }) => sender.post(`/api/webhooks/${id}/ping`)
        )
      const [ping, others] = [yield* pingOf(client), yield* pingOf(other.client)]
      const first = yield* Effect.fork(ping)
      yield* soon(Queue.take(receiver.requests))
      const own = expectProblem(yield* ping, 429, "overloaded")
      assert.include(own.json.detail, "1 requests of this client already wait", "others may want to wait, too")
      const pings = yield* Effect.fork(Effect.all([Fiber.join(first), others], { concurrency: 2 }))
      yield* soon(Queue.take(receiver.requests))
      const { json } = expectProblem(yield* Effect.flatten(pingOf(third.client)), 429, "overloaded")
      assert.include(json.detail, "2 requests already wait")
      const retry = `/api/deliveries/dlv_01jmh2v3s8e5xt6dq4t9v0r1kz/retry`
      expectProblem(yield* client.post(`${retry}?wait_ms=30000`), 429, "overloaded")
      expectProblem(yield* client.post(retry), 404, "delivery_not_found")
      expectStatus(yield* client.get("/api/webhooks"), 200)
      waiting.forEach((answer) => answer())
      for (const answer of yield* soon(pings)) assert.strictEqual(expectStatus(answer, 200).json.result, "success")
      // A wait that fails gives its place back as one that succeeds does.
      for (let i = 0; i < places; i++) {
        expectProblem(yield* client.post(`${retry}?wait_ms=30000`), 404, "delivery_not_found")
      }
    }))
})
