import { assert, layer } from "@effect/vitest"
import { Effect, Queue } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api } from "../support/ApiTest.ts"
import { conduct, switchedOff } from "../support/Conduct.ts"

const moment = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Webhook health", (it) => {
  it.scoped("health is unknown, healthy, failing or inactive", () =>
    Effect.gen(function*() {
      const { client, viewer } = yield* (yield* ApiTest).newTenant
      const receiver = yield* Rows.receiver({ status: 200 }, { status: 500 }, { status: 503 }, { status: 204 })
      const { id } = yield* Rows.register(client, { url: receiver.url() })
      const health = Rows.read(viewer, `/api/webhooks/${id}/health`)
      assert.deepStrictEqual(yield* health, {
        status: "unknown",
        last_success: null,
        last_failure: null,
        consecutive_failures: 0,
        failing_since: null,
        circuit: "closed",
        circuit_until: null,
        deactivation_reason: null,
        next_probe_at: null,
        last_check: null,
        certificate_expires_at: null
      })
      yield* Rows.deliver(client, "deal.won")
      const healthy = yield* health
      assert.match(healthy.last_success, moment)
      assert.deepInclude(healthy, { status: "healthy", consecutive_failures: 0, last_failure: null })
      yield* Rows.deliver(client, "deal.won")
      yield* Rows.deliver(client, "deal.won")
      const failing = yield* health
      assert.match(failing.last_failure, moment)
      assert.match(failing.failing_since, moment)
      assert.deepInclude(failing, { status: "failing", consecutive_failures: 2, last_success: healthy.last_success })
      yield* Rows.deliver(client, "deal.won")
      const recovered = yield* health
      assert.deepInclude(recovered, { status: "healthy", consecutive_failures: 0, last_failure: failing.last_failure })
      assert.isAbove(Date.parse(recovered.last_success), Date.parse(healthy.last_success))
      yield* client.patch(`/api/webhooks/${id}`, { is_active: false })
      assert.strictEqual((yield* health).status, "inactive")
      yield* client.patch(`/api/webhooks/${id}`, { is_active: true })
      assert.strictEqual((yield* health).status, "healthy")
    }))

  it.scoped("a receiver that answers 410 has its webhook switched off, until its owner switches it on", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const receiver = yield* Rows.receiver({ status: 410 })
      const { id } = yield* Rows.register(client, { url: receiver.url() })
      const { error_class, status } = yield* Rows.deliver(client, "deal.won")
      assert.deepStrictEqual({ error_class, status }, { error_class: "http_410", status: "failed_permanent" })
      const off = yield* Rows.read(client, `/api/webhooks/${id}`)
      assert.deepInclude(off, { is_active: false, deactivation_reason: "gone" })
      assert.strictEqual((yield* Rows.read(client, `/api/webhooks/${id}/health`)).status, "inactive")
      const { deliveries: [held] } = yield* Rows.publish(client, "deal.won")
      const waiting = yield* Rows.read(client, `/api/deliveries/${held.id}`)
      assert.deepInclude(waiting, { status: "pending", hold: "deactivated", attempt_count: 0 })
      const { json } = yield* client.patch(`/api/webhooks/${id}`, { is_active: true })
      assert.deepInclude(json, { is_active: true, deactivation_reason: null })
    }))

  it.scoped("a ping is sent now, signed, and answered with its attempt", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const receiver = yield* Rows.receiver({ status: 202, body: "pong", headers: { "X-Receiver": "seen" } })
      const { id } = yield* Rows.register(client, { url: receiver.url("/ping"), headers: { "X-Own": "kept" } })
      const { json } = expectStatus(yield* client.post(`/api/webhooks/${id}/ping`), 200)
      const { duration_ms, id: attemptId, response_headers, started_at, ...attempt } = json
      assert.match(attemptId, /^att_/)
      assert.match(started_at, moment)
      assert.isAtLeast(duration_ms, 0)
      assert.deepInclude(response_headers, { "x-receiver": "seen" })
      assert.deepStrictEqual(attempt, {
        number: 1,
        result: "success",
        error_class: null,
        error_message: null,
        peer_address: "127.0.0.1",
        response_code: 202,
        response_body_base64: Buffer.from("pong").toString("base64"),
        response_truncated: false,
        response_error: null
      })
      const { headers, method, path, text } = yield* Queue.take(receiver.requests)
      assert.deepStrictEqual({ method, path }, { method: "POST", path: "/ping" })
      assert.deepInclude(JSON.parse(text), { event_type: "webhook.ping", data: { webhook_id: id } })
      assert.deepInclude(headers, { "x-own": "kept", "x-event-type": "webhook.ping", "x-webhook-id": id })
      assert.match(headers["x-signature"] ?? "", /^[0-9a-f]{64}$/)
      assert.isEmpty((yield* Rows.read(client, `/api/webhooks/${id}/deliveries`)).data, "it leaves no row")
      const { last_check, last_success, status } = yield* Rows.read(client, `/api/webhooks/${id}/health`)
      assert.match(last_check.at, moment)
      assert.deepInclude(last_check, { result: "healthy", error_class: null })
      assert.deepStrictEqual({ last_success, status }, { last_success: null, status: "healthy" })
    }))

  it.scoped("health says why nothing is sent, and until when", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const { id } = yield* Rows.register(client)
      const health = Rows.read(client, `/api/webhooks/${id}/health`)
      yield* conduct(id, { circuit: "'open'", circuit_until: "now() + interval '5 minutes'" })
      const open = yield* health
      assert.strictEqual(open.circuit, "open")
      assert.match(open.circuit_until, moment)
      yield* conduct(id, {
        ...switchedOff,
        heal_at: "'2035-01-01T00:00:00Z'",
        certificate_expires_at: "'2034-01-01T00:00:00Z'"
      })
      assert.deepInclude(yield* health, {
        status: "inactive",
        deactivation_reason: "failures",
        consecutive_failures: 20,
        next_probe_at: "2035-01-01T00:00:00.000Z",
        certificate_expires_at: "2034-01-01T00:00:00.000Z"
      })
      const { json } = yield* client.patch(`/api/webhooks/${id}`, { is_active: true })
      assert.deepInclude(json, { is_active: true, deactivation_reason: null, failure_count: 0, circuit: "closed" })
      assert.deepInclude(yield* health, { next_probe_at: null, failing_since: null, circuit_until: null })
      yield* client.patch(`/api/webhooks/${id}`, { url: `${Rows.deadUrl}/elsewhere` })
      assert.isNull((yield* health).certificate_expires_at, "it was another endpoint's")
    }))

  it.scoped("a ping that fails says how, with 200: the question was answered", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const receiver = yield* Rows.receiver({ status: 404, body: "no" }, { status: 500 })
      const { id } = yield* Rows.register(client, { url: receiver.url(), is_active: false })
      const ping = Effect.map(client.post(`/api/webhooks/${id}/ping`), (answer) => expectStatus(answer, 200).json)
      assert.deepInclude(yield* ping, { result: "failure_permanent", error_class: "http_4xx", response_code: 404 })
      assert.deepInclude(yield* ping, { result: "failure_retryable", error_class: "http_5xx", response_code: 500 })
      yield* client.patch(`/api/webhooks/${id}`, { url: Rows.deadUrl })
      const refused = yield* ping
      assert.deepInclude(refused, {
        result: "failure_retryable",
        error_class: "connect_refused",
        response_code: null,
        response_body_base64: ""
      })
      assert.isNotEmpty(refused.error_message)
    }))

  it.scoped("a test delivery goes the whole way, to this webhook alone, whatever it subscribes to", () =>
    Effect.gen(function*() {
      const { attempted, newTenant } = yield* ApiTest
      const { client, viewer } = yield* newTenant
      const [receiver, other] = [yield* Rows.receiver(), yield* Rows.receiver()]
      const { id } = yield* Rows.register(client, { url: receiver.url(), events: ["lead.created"] })
      yield* Rows.register(client, { url: other.url() })
      const test = (body?: object) =>
        Effect.map(client.post(`/api/webhooks/${id}/test`, body), (answer) => expectStatus(answer, 202).json)
      for (
        const [body, type, data] of [
          [undefined, "webhook.test", { message: "This is a test." }],
          [{ event_type: "deal.won" }, "deal.won", { message: "This is a test." }],
          [{ event_type: "deal.lost", payload: { id: 1, token: "x" } }, "deal.lost", { id: 1, token: "[REDACTED]" }]
        ] as const
      ) {
        const { deliveries, event_id } = yield* test(body)
        assert.deepStrictEqual(deliveries, [{ id: deliveries[0].id, webhook_id: id }])
        yield* attempted(deliveries[0].id)
        const { payload, status } = yield* Rows.read(viewer, `/api/deliveries/${deliveries[0].id}`)
        assert.strictEqual(status, "delivered")
        assert.deepInclude(payload, { data, event_id, event_type: type })
        assert.deepStrictEqual(JSON.parse((yield* Queue.take(receiver.requests)).text), payload)
      }
      assert.isEmpty(other.received)
      yield* client.patch(`/api/webhooks/${id}`, { is_active: false })
      expectProblem(yield* client.post(`/api/webhooks/${id}/test`, {}), 409, "webhook_inactive")
    }))
})
