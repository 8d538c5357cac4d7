import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, layer as Api } from "../support/ApiTest.ts"

const idsOf = (list: { readonly data: ReadonlyArray<{ readonly id: string }> }) => list.data.map(({ id }) => id)
const moment = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Deliveries", (it) => {
  it.scoped("a delivery read alone shows what was sent and every attempt, byte for byte", () =>
    Effect.gen(function*() {
      const { client, id: tenant, viewer } = yield* (yield* ApiTest).newTenant
      const body = Buffer.from([0x00, 0xff, 0xfe, 0x6f, 0x6b])
      const receiver = yield* Rows.receiver({ status: 201, body, headers: { "X-Twice": ["a", "b"] } })
      const webhook = yield* Rows.register(client, { url: receiver.url() })
      const { attempts: [attempt], created_at, delivered_at, ...delivery } = yield* Rows.deliver(client, "deal.won", {
        n: 1
      })
      assert.match(created_at, moment)
      assert.isAtLeast(Date.parse(delivered_at), Date.parse(created_at))
      assert.deepStrictEqual(delivery, {
        id: delivery.id,
        webhook_id: webhook.id,
        client_id: tenant,
        event_id: delivery.event_id,
        event_type: "deal.won",
        status: "delivered",
        hold: null,
        attempt_count: 1,
        next_retry_at: null,
        last_response_code: 201,
        last_response_body_sample: delivery.last_response_body_sample,
        error_class: null,
        error_message: null,
        payload: JSON.parse(receiver.received[0]?.text ?? "")
      })
      const { duration_ms, id, response_headers, started_at, ...seen } = attempt
      assert.match(id, /^att_/)
      assert.match(started_at, moment)
      assert.isAtLeast(duration_ms, 0)
      assert.deepInclude(response_headers, { "x-twice": "a, b" })
      assert.deepStrictEqual(seen, {
        number: 1,
        result: "success",
        error_class: null,
        error_message: null,
        peer_address: "127.0.0.1",
        response_code: 201,
        response_body_base64: body.toString("base64"),
        response_truncated: false,
        response_error: null
      })
      const { data: [listed] } = yield* Rows.read(viewer, `/api/webhooks/${webhook.id}/deliveries`)
      const { payload: _, ...row } = delivery
      assert.deepStrictEqual(listed, { ...row, created_at, delivered_at }, "a list leaves payload and attempts out")
    }))

  it.scoped("a long answer is kept to its first 16 KB", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const receiver = yield* Rows.receiver({ status: 500, body: "x".repeat(20_000) })
      yield* Rows.register(client, { url: receiver.url() })
      const { attempts: [attempt] } = yield* Rows.deliver(client, "deal.won")
      assert.isTrue(attempt.response_truncated)
      assert.strictEqual(Buffer.from(attempt.response_body_base64, "base64").toString(), "x".repeat(16_384))
    }))

  it.scoped("a failure says what it was and when it is tried again", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const receiver = yield* Rows.receiver({ status: 503, body: "busy" }, { status: 400 })
      yield* Rows.register(client, { url: receiver.url() })
      const busy = yield* Rows.deliver(client, "deal.won")
      assert.deepInclude(busy, {
        status: "failed_retryable",
        error_class: "http_5xx",
        last_response_code: 503,
        last_response_body_sample: "busy",
        delivered_at: null,
        attempt_count: 1
      })
      assert.isNotEmpty(busy.error_message)
      const waitMs = Date.parse(busy.next_retry_at) - Date.parse(busy.attempts[0].started_at)
      assert.isTrue(waitMs > 479_000 && waitMs < 781_000, `600 s ± 20 %, found ${waitMs}`)
      const refused = yield* Rows.deliver(client, "deal.won")
      assert.deepInclude(refused, { status: "failed_permanent", error_class: "http_4xx", next_retry_at: null })
    }))

  it.scoped("the only attempt that a webhook allows is the last", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      yield* Rows.register(client, { retry_count: 1 })
      const { attempts, status } = yield* Rows.deliver(client, "deal.won")
      assert.strictEqual(status, "failed_permanent")
      assert.deepInclude(attempts[0], {
        result: "failure_retryable",
        error_class: "connect_refused",
        response_code: null,
        response_headers: {},
        response_body_base64: "",
        peer_address: null
      })
    }))

  it.scoped("history is filtered by status, type and time, and read page by page", () =>
    Effect.gen(function*() {
      const { client, viewer } = yield* (yield* ApiTest).newTenant
      const receiver = yield* Rows.receiver({ status: 200 }, { status: 500 }, { status: 400 }, { status: 200 })
      const { id } = yield* Rows.register(client, { url: receiver.url() })
      const made = []
      for (const type of ["a.b", "c.d", "a.b", "c.d"]) made.push(yield* Rows.deliver(client, type))
      const [delivered, retryable, permanent, last] = made
      const list = (query = "") => Rows.read(viewer, `/api/webhooks/${id}/deliveries?${query}`)
      const found = (query: string) => Effect.map(list(query), idsOf)
      assert.deepStrictEqual(yield* found(""), made.map((delivery) => delivery.id).toReversed())
      assert.deepStrictEqual(yield* found("status=delivered"), [last.id, delivered.id])
      assert.deepStrictEqual(yield* found("status=failed_retryable"), [retryable.id])
      assert.deepStrictEqual(yield* found("status=failed_permanent&event_type=a.b"), [permanent.id])
      assert.isEmpty(yield* found("status=pending"))
      assert.isEmpty(yield* found("event_type=a"))
      const { created_at: since } = permanent
      assert.deepStrictEqual(yield* found(`from=${since}`), [last.id, permanent.id], "from is inclusive")
      assert.deepStrictEqual(yield* found(`to=${since}`), [retryable.id, delivered.id], "to is exclusive")
      assert.deepStrictEqual(yield* found(`from=${retryable.created_at}&to=${since}`), [retryable.id])
      assert.lengthOf(yield* found("from=1960-01-01T00:00:00Z&to=9999-12-31"), 4)
      assert.lengthOf(yield* found("from=2020-01-01"), 4)
      assert.isEmpty(yield* found("to=0001-01-01"))
      assert.isEmpty(yield* found("from=9999-01-01"))
      const first = yield* list("limit=3")
      const rest = yield* list(`limit=3&cursor=${first.page.next_cursor}`)
      assert.deepStrictEqual([...idsOf(first), ...idsOf(rest)], yield* found(""))
      assert.deepStrictEqual(rest.page, { limit: 3, next_cursor: null })
      assert.isEmpty((yield* list(`status=failed_permanent&cursor=${first.page.next_cursor}`)).data)
    }))

  it.effect("what is no filter is refused by its name", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const { id } = yield* Rows.register(a.client)
      const refused = [
        "status=gone",
        "status=",
        "event_type=a..b",
        "from=yesterday",
        "to=1",
        "from=2025-02-20T00:00:00+99:99",
        "limit=201",
        "limit=0x10",
        "limit=1e1",
        "limit=%205",
        "limit=1.0",
        "limit=%2B5"
      ]
      for (const query of refused) {
        const answer = yield* a.client.get(`/api/webhooks/${id}/deliveries?${query}`)
        assert.strictEqual(expectProblem(answer, 422, "invalid_value").json.errors[0].path, query.split("=")[0])
      }
      expectProblem(yield* a.client.get(`/api/webhooks/${id}/deliveries?cursor=1`), 422, "cursor_invalid")
    }))

  it.effect("deliveries of a deleted webhook can still be read alone", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const webhook = yield* Rows.register(client)
      const { id, payload } = yield* Rows.deliver(client, "deal.won")
      yield* client.del(`/api/webhooks/${webhook.id}`)
      expectProblem(yield* client.get(`/api/webhooks/${webhook.id}/deliveries`), 404, "webhook_not_found")
      assert.deepStrictEqual((yield* Rows.read(client, `/api/deliveries/${id}`)).payload, payload)
    }))
})
