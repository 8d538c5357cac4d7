import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { toUuid, type WebhookId } from "../../src/domain/Ids.ts"
import { ApiTest, expectStatus } from "../support/ApiTest.ts"
import { eventually } from "../support/Eventually.ts"
import * as Service from "../support/ExportingService.ts"
import { attempt, exported, publish, publisher } from "../support/ExportingService.ts"
import { type ExportedSpan, OtlpReceiver } from "../support/OtlpReceiver.ts"

const exceptionOf = ({ events }: ExportedSpan) => events.find(({ name }) => name === "exception")?.attributes

layer(Service.layer, { timeout: "60 seconds", excludeTestServices: true })("What is exported", (it) => {
  it.scoped("an attempt that succeeds, linked with the trace of its publisher", () =>
    Effect.gen(function*() {
      const { delivery, receiver, span } = yield* attempt("export.delivered", { status: 200 })
      assert.strictEqual(span.name, "deeper_hub.webhooks.dispatch.attempt")
      assert.deepStrictEqual(span.attributes, {
        webhook_event_id: delivery,
        webhook_url: receiver.url("/hook").href,
        attempt_number: 1,
        http_status: 200,
        result: "success"
      })
      assert.deepStrictEqual([span.kind, span.status, span.parentSpanId], [3, 1, undefined])
      assert.notStrictEqual(span.traceId, publisher.traceId)
      assert.deepStrictEqual(span.links.map(({ spanId, traceId }) => ({ traceId, spanId })), [publisher])
      assert.isUndefined(exceptionOf(span))
      const [received] = receiver.received
      assert.strictEqual(received?.headers["traceparent"], `00-${span.traceId}-${span.spanId}-01`)
    }))

  it.scoped("an attempt that fails and is made again, with its exception", () =>
    Effect.gen(function*() {
      const { span } = yield* attempt("export.retryable", { status: 503 })
      assert.deepInclude(span.attributes, { http_status: 503, result: "failure_retryable" })
      assert.strictEqual(span.status, 2)
      assert.strictEqual(exceptionOf(span)?.["exception.type"], "RetryableFailure")
      assert.match(String(exceptionOf(span)?.["exception.message"]), /503/)
      assert.notProperty(span.attributes, "status.interrupted")
    }))

  it.scoped("an attempt that fails for good, with its exception", () =>
    Effect.gen(function*() {
      const { span } = yield* attempt("export.permanent", { status: 404 })
      assert.deepInclude(span.attributes, { http_status: 404, result: "failure_permanent" })
      assert.strictEqual(exceptionOf(span)?.["exception.type"], "PermanentFailure")
      assert.match(String(exceptionOf(span)?.["exception.message"]), /404/)
      assert.strictEqual(span.status, 2)
    }))

  it.scoped("an attempt that policy forbids, which has no status", () =>
    Effect.gen(function*() {
      const { attempted } = yield* ApiTest
      const sql = yield* SqlClient.SqlClient
      const { tenant, webhook } = yield* attempt("export.blocked", { status: 200 })
      yield* sql`UPDATE webhooks SET url = 'http://10.0.0.1/in?token=x' WHERE id = ${toUuid(webhook.id as WebhookId)}`
      const delivery = yield* publish(tenant, "export.blocked")
      yield* attempted(delivery)
      const span = yield* exported(({ attributes }) => attributes["webhook_event_id"] === delivery)
      assert.deepStrictEqual(span.attributes, {
        webhook_event_id: delivery,
        webhook_url: "http://10.0.0.1/in",
        attempt_number: 1,
        result: "failure_permanent"
      })
      assert.strictEqual(exceptionOf(span)?.["exception.type"], "PermanentFailure")
    }))

  it.scoped("the request that publishes, in the publisher's trace, and what it consists of beneath", () =>
    Effect.gen(function*() {
      const { span: { links: [link] }, tenant, webhook } = yield* attempt("export.published", { status: 200 })
      assert.strictEqual(link?.traceId, publisher.traceId)
      const prepared = yield* exported(({ attributes }) => attributes["event_type"] === "export.published")
      assert.strictEqual(prepared.name, "deeper_hub.webhooks.event.prepared_for_dispatch")
      assert.deepInclude(prepared.attributes, { webhook_id: webhook.id })
      assert.match(String(prepared.attributes["event_id"]), /^evt_/)

      const above = (id: string | undefined) => exported(({ spanId }) => spanId === id)
      const service = yield* above(prepared.parentSpanId)
      assert.strictEqual(service.name, "WebhookService.publish")
      const request = yield* above(service.parentSpanId)
      assert.deepStrictEqual([request.name, request.kind], ["http.server POST", 2])
      assert.deepStrictEqual({ traceId: request.traceId, spanId: request.parentSpanId }, publisher)
      assert.deepInclude(request.attributes, { "http.response.status_code": 202, "url.path": "/api/events" })
      assert.strictEqual(request.attributes["http.request.header.authorization"], "<redacted>")
      assert.notInclude(JSON.stringify(request), tenant.client.token ?? "no token")
      const statement = yield* exported(({ attributes, name, parentSpanId }) =>
        name === "sql.execute" && parentSpanId === service.spanId &&
        /WITH request/.test(String(attributes["db.query.text"]))
      )
      assert.isAtMost(String(statement.attributes["db.query.text"]).length, 513)
    }))

  it.scoped("a publisher without a trace has its request linked; what it sends that is no traceparent is ignored", () =>
    Effect.gen(function*() {
      const { attempted } = yield* ApiTest
      const { tenant } = yield* attempt("export.untraced", { status: 200 })
      for (
        const headers of [{}, { traceparent: "00-zz-zz-zz" }, {
          traceparent: `00-${"0".repeat(32)}-${"0".repeat(16)}-00`
        }]
      ) {
        const delivery = yield* publish(tenant, "export.untraced", headers)
        yield* attempted(delivery)
        const { links: [link] } = yield* exported(({ attributes }) => attributes["webhook_event_id"] === delivery)
        const linked = yield* exported(({ spanId }) => spanId === link?.spanId)
        assert.deepStrictEqual([linked.name, linked.traceId], ["WebhookService.publish", link?.traceId])
      }
    }))

  it.scoped("what a publisher does not record is not recorded here, and its context goes on to the receiver", () =>
    Effect.gen(function*() {
      const { attempted } = yield* ApiTest
      const { receiver, tenant } = yield* attempt("export.unsampled", { status: 200 })
      const unsampled = `00-${"c0ffee".padEnd(32, "0")}-${"dec0de".padEnd(16, "0")}-00`
      const delivery = yield* publish(tenant, "export.unsampled", { traceparent: unsampled })
      yield* attempted(delivery)
      assert.strictEqual(receiver.received.at(-1)?.headers["traceparent"], unsampled)
      // One that is recorded comes after: whatever there was of the one before is there by then.
      const next = yield* publish(tenant, "export.unsampled")
      yield* attempted(next)
      yield* exported(({ attributes }) => attributes["webhook_event_id"] === next)
      const all = yield* Effect.flatMap(OtlpReceiver, ({ spans }) => spans)
      assert.isEmpty(
        all.filter(({ attributes, traceId }) =>
          traceId.startsWith("c0ffee") || attributes["webhook_event_id"] === delivery
        )
      )
    }))

  it.scoped("changes of a webhook's definition, and checks of its health", () =>
    Effect.gen(function*() {
      const { tenant, webhook } = yield* attempt("export.definition", { status: 200 }, { status: 200 }, { status: 500 })
      const path = `/api/webhooks/${webhook.id}`
      expectStatus(yield* tenant.client.post(`${path}/ping`), 200)
      expectStatus(yield* tenant.client.post(`${path}/ping`), 200)
      expectStatus(yield* tenant.client.patch(path, { name: "renamed" }), 200)
      expectStatus(yield* tenant.client.del(path), 204)
      for (const change of ["created", "updated", "deleted"]) {
        const span = yield* exported(({ attributes, name }) =>
          name === `deeper_hub.webhooks.definition.${change}` && attributes["webhook_id"] === webhook.id
        )
        assert.deepStrictEqual(span.attributes, { webhook_id: webhook.id, client_id: tenant.id })
        assert.isDefined(span.parentSpanId)
      }
      for (const result of ["healthy", "unhealthy"]) {
        const span = yield* exported(({ attributes }) =>
          attributes["result"] === result && attributes["webhook_id"] === webhook.id
        )
        assert.strictEqual(span.name, "deeper_hub.webhooks.health_check.performed")
        assert.notInclude(String(span.attributes["url"]), "secret")
      }
    }))

  it.scoped("nothing of actors that look whether there is work, and of probes", () =>
    Effect.gen(function*() {
      const { nobody, operator } = yield* ApiTest
      const { spans } = yield* OtlpReceiver
      const sql = yield* SqlClient.SqlClient
      const before = new Set((yield* spans).map(({ spanId }) => spanId))
      const statements = new Set<string>()
      const look = Effect.gen(function*() {
        for (const path of ["/healthz", "/readyz", "/metrics"]) expectStatus(yield* nobody.get(path), 200)
        const rows = yield* sql<{ at: string }>`
          SELECT pid || ' ' || query_start::text AS at FROM pg_stat_activity
          WHERE application_name = 'deeper-hub-webhooks' AND datname = current_database() AND query_start IS NOT NULL
        `
        for (const { at } of rows) statements.add(at)
        return statements.size
      })
      yield* eventually(look, (seen) => seen > 100)
      expectStatus(yield* operator.get("/api/audit?limit=7"), 200)
      const marker = yield* exported(({ attributes }) => attributes["url.query"] === "limit=7")
      const others = (yield* spans).filter(({ spanId, traceId }) => !before.has(spanId) && traceId !== marker.traceId)
      // What was under way before may come late, and belongs to a trace that was known.
      const known = new Set((yield* spans).filter(({ spanId }) => before.has(spanId)).map(({ traceId }) => traceId))
      assert.isEmpty(others.filter(({ traceId }) => !known.has(traceId)))
    }))

  it.scoped("says where it comes from, and to the collector who it is", () =>
    Effect.gen(function*() {
      const { headers, resources } = yield* OtlpReceiver
      for (const resource of yield* resources) {
        assert.strictEqual(resource["service.name"], "deeper-hub-webhooks")
        assert.match(String(resource["service.version"]), /^\d+\.\d+\.\d+/)
        assert.isNotEmpty(resource["service.instance.id"])
      }
      assert.isTrue((yield* headers).every((all) => all["x-collector-key"] === "sesame"))
    }))
})
