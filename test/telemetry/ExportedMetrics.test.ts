import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest } from "../support/ApiTest.ts"
import { eventually } from "../support/Eventually.ts"
import * as Service from "../support/ExportingService.ts"
import { attempt, publish } from "../support/ExportingService.ts"
import { type ExportedLog, type ExportedPoint, OtlpReceiver } from "../support/OtlpReceiver.ts"

const name = (suffix: string) => `deeper_hub.webhooks.${suffix}`

/** The latest such point. */
const point = (suffix: string, wanted: (point: ExportedPoint) => boolean = () => true) =>
  Effect.flatMap(OtlpReceiver, ({ points }) => {
    const isWanted = (candidate: ExportedPoint) => candidate.metric === name(suffix) && wanted(candidate)
    return Effect.map(eventually(points, (all) => all.some(isWanted)), (all) => {
      const found = all.findLast(isWanted)
      assert(found !== undefined)
      return found
    })
  })

const log = (wanted: (record: ExportedLog) => boolean) =>
  Effect.flatMap(OtlpReceiver, ({ logs }) =>
    Effect.map(eventually(logs, (all) => all.some(wanted)), (all) => {
      const found = all.find(wanted)
      assert(found !== undefined)
      return found
    }))

const cumulative = 2

layer(Service.layer, { timeout: "60 seconds", excludeTestServices: true })("What is exported", (it) => {
  it.scoped("attempts, by masked webhook, event type and group of status", () =>
    Effect.gen(function*() {
      for (
        const [status, group] of [[200, "2xx"], [302, "3xx"], [404, "4xx"], [500, "5xx"]] as const
      ) {
        const eventType = `counted.${group}`
        const { webhook } = yield* attempt(eventType, { status })
        const tags = { webhook_id_masked: Metrics.masked(webhook.id), event_type: eventType }
        const counted = yield* point("delivery.attempts.count", ({ attributes }) =>
          attributes["event_type"] === eventType)
        assert.deepInclude(counted, { kind: "sum", temporality: cumulative, isMonotonic: true, unit: "", value: 1 })
        assert.deepStrictEqual(counted.attributes, { ...tags, http_status_code_group: group })
        const latency = yield* point("delivery.latency_ms", ({ attributes }) =>
          attributes["event_type"] === eventType)
        assert.deepInclude(latency, { kind: "histogram", temporality: cumulative, unit: "", value: 1 })
        assert.deepStrictEqual(latency.attributes, tags)
        assert.includeMembers([...(latency.bounds ?? [])], [5, 100, 1_000, 20_000])
      }
    }))

  it.scoped("the latest attempt that is recorded, as the exemplar of its series", () =>
    Effect.gen(function*() {
      const { span } = yield* attempt("exemplary.sent", { status: 200 })
      const { exemplars: [exemplar, ...others] } = yield* point("delivery.latency_ms", ({ attributes, exemplars }) =>
        attributes["event_type"] === "exemplary.sent" && exemplars.length > 0)
      assert.isEmpty(others)
      assert.deepInclude(exemplar, { traceId: span.traceId, spanId: span.spanId })
      assert.isAtLeast(exemplar?.asDouble ?? -1, 0)
    }))

  it.scoped("what attempts do not tell: intake, retries, circuits, what the database knows, and who was restarted", () =>
    Effect.gen(function*() {
      const { attempted } = yield* ApiTest
      const { tenant, webhook } = yield* attempt("failing.always", { status: 500 })
      const of = ({ attributes }: ExportedPoint) => attributes["event_type"] === "failing.always"
      for (let n = 2; n <= 5; n++) yield* attempted(yield* publish(tenant, "failing.always"))
      const counter = { kind: "sum", temporality: cumulative, isMonotonic: true } as const
      assert.deepInclude(yield* point("retries.scheduled.count", ({ value }) => value >= 5), counter)
      const opened = yield* point("circuit_breaker.state_changed.count")
      assert.deepInclude(opened, counter)
      assert.deepStrictEqual(opened.attributes, { webhook_url_host: new URL(webhook.url).host, new_state: "open" })

      // The circuit is open: the next delivery waits, which is counted in the place of an attempt.
      yield* publish(tenant, "failing.always")
      const waits = yield* point(
        "delivery.attempts.count",
        (counted) => of(counted) && counted.attributes["http_status_code_group"] === "circuit_open"
      )
      assert.strictEqual(waits.attributes["webhook_id_masked"], Metrics.masked(webhook.id))
      assert.deepInclude(
        yield* point("events.published_to_dispatcher.count", (all) => of(all) && all.value === 6),
        counter
      )
      assert.deepInclude(yield* point("intake.batch_size", ({ value }) => value >= 6), { kind: "histogram" })
      const restarts = yield* point("actor.restarts.count", ({ attributes }) => attributes["actor"] === "Dispatcher")
      assert.deepInclude(restarts, { ...counter, value: 0 })
      for (
        const gauge of [
          "registered.count",
          "queue.depth",
          "queue.oldest_due_age_seconds",
          "deliveries.held",
          "deliveries.due",
          "inflight",
          "circuits",
          "switched_off",
          "database.size_bytes",
          "database.partitions",
          "database.pool.connections"
        ]
      ) {
        assert.deepInclude(yield* point(gauge), { kind: "gauge", unit: "" })
      }
    }))

  it.scoped("how long it took from the commit to the delivery", () =>
    Effect.gen(function*() {
      yield* attempt("whole.way", { status: 200 })
      const all = yield* point("end_to_end.latency_ms", ({ attributes }) => attributes["event_type"] === "whole.way")
      assert.deepInclude(all, { kind: "histogram", temporality: cumulative, value: 1 })
      assert.deepStrictEqual(all.attributes, { event_type: "whole.way" })
    }))

  it.scoped("records at the levels that operators expect, with the ids of delivery, webhook and trace", () =>
    Effect.gen(function*() {
      const expected = [
        [{ status: 200 }, "delivered", "INFO", 9],
        [{ status: 500 }, "delivery failed, retry scheduled", "WARN", 13],
        [{ status: 404 }, "delivery failed for good", "ERROR", 17]
      ] as const
      for (const [answer, body, level, severity] of expected) {
        const { delivery, span, webhook } = yield* attempt(`logged.${severity}`, answer)
        const record = yield* log((record) => record.body === body && record.attributes["deliveryId"] === delivery)
        assert.deepInclude(record, { level, severity, traceId: span.traceId, spanId: span.spanId })
        assert.deepInclude(record.attributes, { webhookId: webhook.id, status: answer.status })
        const queued = yield* log(({ attributes }) => attributes["eventType"] === `logged.${severity}`)
        assert.deepInclude(queued, { body: "event queued", level: "INFO", severity: 9 })
        assert.strictEqual(queued.traceId, Service.publisher.traceId)
        const registered = yield* log(({ attributes, body }) =>
          body === "webhook registered" && attributes["webhookId"] === webhook.id
        )
        assert.strictEqual(registered.level, "INFO")
      }
    }))

  it.scoped("that an endpoint is gone, as a warning", () =>
    Effect.gen(function*() {
      const { delivery } = yield* attempt("logged.gone", { status: 410 })
      const record = yield* log(({ attributes, body }) =>
        attributes["deliveryId"] === delivery && String(body).startsWith("webhook switched off")
      )
      assert.strictEqual(record.level, "WARN")
    }))

  it.scoped("no more series than there are to be, however many webhooks and event types there are", () =>
    Effect.gen(function*() {
      const { newTenant, nobody } = yield* ApiTest
      const { client } = yield* newTenant
      yield* Rows.register(client, { events: ["many.*"] })
      const types = Array.from({ length: 250 }, (_, n) => `many.type_${n}`)
      yield* client.post("/api/events/batch", { events: types.map((event_type) => ({ event_type, payload: {} })) })
      const { text } = yield* nobody.get("/metrics")
      const published = text.split("\n").filter((line) => line.startsWith("deeper_hub_webhooks_events_published"))
      assert.isAtMost(published.length, 201)
      assert.isTrue(published.some((line) => line.includes(`event_type="other"`)))
    }))
})
