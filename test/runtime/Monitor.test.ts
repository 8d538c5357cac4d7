import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Logger, Metric, PubSub, Queue } from "effect"
import type { WebhookId } from "../../src/domain/Ids.ts"
import { AuditStore } from "../../src/persistence/AuditStore.ts"
import * as Monitor from "../../src/runtime/Monitor.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { Signals } from "../../src/telemetry/Signals.ts"
import { alerts, conduct, failing, notices, openAlerts, row, webhook } from "../support/Conduct.ts"
import { passAllTime } from "../support/PassAllTime.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const options: Monitor.MonitorOptions = {
  autoDeactivation: { enabled: true, failureThreshold: 20, minFailingMinutes: 15 },
  alerts: { latencyMs: 2_000, certificateDays: 14, secretDays: 7 }
}

const watchConduct = Effect.flatMap(Monitor.make(options), ({ watchConduct }) => watchConduct)
const watchExpiry = Effect.flatMap(Monitor.make(options), ({ watchExpiry }) => watchExpiry)

const isActive = (id: WebhookId) => Effect.map(row(id), (known) => known["isActive"])

/** A minute of so many attempts that took so long each. */
const window = (attempts: number, eachMs: number) => ({
  window_attempts: String(attempts),
  window_duration_ms: String(attempts * eachMs)
})

const silent = Logger.remove(Logger.defaultLogger)

layer(Layer.mergeAll(Signals.layer, Stores.layer, silent), Stores.options)("Monitor", (it) => {
  it.scoped("switches off what failed often enough and for long enough, and tells everyone who is to know", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("deactivated")
      yield* Rows.makeWebhook(client, ["webhook.deactivated"])
      const { id } = yield* webhook(client, failing(20, 16))
      const signals = yield* PubSub.subscribe(yield* Signals)
      yield* watchConduct
      const known = yield* row(id)
      assert.deepInclude(known, { isActive: false, deactivationReason: "failures", failureCount: 20 })
      assert.isNotNull(known["deactivatedAt"])
      assert.isNotNull(known["healAt"])
      assert.deepInclude(yield* Queue.take(signals), { _tag: "WebhookDeactivated", webhookId: id })
      assert.deepInclude(yield* Queue.take(signals), { _tag: "OutboxFilled" })
      assert.deepStrictEqual(yield* openAlerts(id), ["webhook_deactivated"])
      const [alert] = yield* alerts(id)
      assert.deepInclude(alert, { severity: "critical", occurrences: 1 })
      assert.match(
        alert?.message ?? "",
        /^For 16 minutes every attempt failed, 20 in a row, the last one with http_5xx/
      )
      const [notice] = yield* notices(id)
      assert.deepInclude(notice?.payload, { webhook_id: id, deactivation_reason: "failures", failure_count: 20 })
      assert.strictEqual(notice?.eventType, "webhook.deactivated")
      const audit = yield* AuditStore
      const { data: [entry, ...others] } = yield* audit.list(
        { only: client },
        { action: null, resourceId: id },
        { limit: 5, after: null }
      )
      assert.deepInclude(entry, {
        action: "webhook.deactivated",
        role: "system",
        after: { deactivation_reason: "failures", is_active: false }
      })
      assert.isEmpty(others)
      const { count } = yield* Metric.value(
        Metric.tagged(Metrics.deactivated, "webhook_id_masked", Metrics.webhookTag(id))
      )
      assert.strictEqual(count, 1)
      yield* watchConduct
      assert.lengthOf(yield* alerts(id), 1, "another round has nothing to add")
      assert.isTrue(yield* Queue.isEmpty(signals), "nor to say")
    }))

  it.effect("leaves on what failed too seldom, too shortly, or is deleted, and everything where it is not to", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("left-on")
      const seldom = yield* webhook(client, failing(19, 600))
      const shortly = yield* webhook(client, failing(1_000, 14))
      const off = yield* webhook(client, {
        ...failing(20, 60),
        is_active: "false",
        deactivation_reason: "'owner'"
      })
      yield* watchConduct
      assert.isTrue(yield* isActive(seldom.id))
      assert.isTrue(yield* isActive(shortly.id))
      assert.strictEqual((yield* row(off.id))["deactivationReason"], "owner")
      yield* passAllTime("2 minutes")
      const { watchConduct: whereDisabled } = yield* Monitor.make({
        ...options,
        autoDeactivation: { ...options.autoDeactivation, enabled: false }
      })
      yield* whereDisabled
      assert.isTrue(yield* isActive(shortly.id))
      yield* watchConduct
      assert.isFalse(yield* isActive(shortly.id))
      assert.isTrue(yield* isActive(seldom.id))
    }))

  it.effect("several nodes at once switch each off once, and open each alert once", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("nodes")
      const some = yield* Effect.replicateEffect(webhook(client, failing(30, 60)), 30)
      const others = yield* Effect.replicateEffect(webhook(client, failing(7, 60)), 30)
      yield* Effect.replicateEffect(watchConduct, 6, { concurrency: 6, discard: true })
      for (const { id } of some) {
        assert.isFalse(yield* isActive(id))
        assert.deepStrictEqual((yield* alerts(id)).map(({ occurrences }) => occurrences), [1])
      }
      for (const { id } of others) {
        assert.deepStrictEqual((yield* alerts(id)).map(({ occurrences }) => occurrences), [1])
      }
      const sql = yield* SqlClient.SqlClient
      const [audited] = yield* sql`SELECT count(*)::int AS count FROM audit_log WHERE client_id = ${client}`
      assert.strictEqual(audited?.["count"], 30)
    }))

  it.effect("says once that attempts fail in a row, and that it is over", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("in-a-row")
      const { id } = yield* webhook(client, failing(4, 1))
      yield* watchConduct
      assert.isEmpty(yield* alerts(id))
      yield* conduct(id, failing(5, 1))
      yield* Effect.replicateEffect(watchConduct, 3)
      const [alert, ...more] = yield* alerts(id)
      assert.isEmpty(more)
      assert.deepInclude(alert, { kind: "consecutive_failures", severity: "warning", occurrences: 1, isOpen: true })
      assert.deepInclude(alert?.details, { failure_count: 5, error_class: "http_5xx", circuit: "closed" })
      yield* conduct(id, { failure_count: "0", failing_since: "NULL", last_error_class: "NULL" })
      yield* watchConduct
      assert.isEmpty(yield* openAlerts(id))
      yield* conduct(id, { ...failing(1, 1), circuit: "'open'", circuit_until: "now() + interval '30 seconds'" })
      yield* watchConduct
      assert.deepStrictEqual(yield* openAlerts(id), ["consecutive_failures"], "an open circuit is enough")
    }))

  it.effect("says that an endpoint is slow, and that it is not, and is not of two minds in between", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("slow")
      const { id } = yield* webhook(client, window(4, 9_000))
      yield* watchConduct
      assert.isEmpty(yield* alerts(id), "four attempts tell nothing")
      yield* conduct(id, window(5, 1_999))
      yield* watchConduct
      assert.isEmpty(yield* alerts(id))
      yield* conduct(id, window(5, 2_000))
      yield* watchConduct
      assert.deepInclude((yield* alerts(id))[0], { kind: "high_latency", severity: "warning", isOpen: true })
      for (const still of [window(20, 1_600), window(2, 1)]) {
        yield* conduct(id, still)
        yield* watchConduct
        assert.deepStrictEqual(yield* openAlerts(id), ["high_latency"])
      }
      yield* conduct(id, window(20, 1_400))
      yield* watchConduct
      assert.isEmpty(yield* openAlerts(id))
      assert.lengthOf(yield* alerts(id), 1)
    }))

  it.effect("says that no secure connection can be made, until one was", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("certificates")
      const { id } = yield* webhook(client, failing(1, 1, "tls_expired"))
      yield* watchConduct
      assert.deepInclude((yield* alerts(id))[0], { kind: "certificate_error", severity: "critical", isOpen: true })
      yield* conduct(id, failing(2, 1, "connect_refused"))
      yield* watchConduct
      assert.deepStrictEqual(yield* openAlerts(id), ["certificate_error"], "it may be as bad as before")
      yield* conduct(id, failing(3, 1, "http_5xx"))
      yield* watchConduct
      assert.isEmpty(yield* openAlerts(id))
    }))

  for (
    const [kind, column, days] of [
      ["certificate_expiring", "certificate_expires_at", 14],
      ["secret_expiring", "secret_expires_at", 7]
    ] as const
  ) {
    it.effect(`${kind} is raised in time, once more when it is too late, and ends with another one`, () =>
      Effect.gen(function*() {
        const client = yield* Rows.makeClient(column)
        const { id } = yield* webhook(client, { [column]: `now() + interval '${days} days 1 minute'` })
        yield* watchExpiry
        assert.isEmpty(yield* alerts(id))
        yield* passAllTime("2 minutes")
        yield* Effect.replicateEffect(watchExpiry, 2)
        assert.deepInclude((yield* alerts(id))[0], { kind, severity: "warning", occurrences: 1 })
        yield* passAllTime(`${days} days`)
        yield* Effect.replicateEffect(watchExpiry, 2)
        const [alert, ...more] = yield* alerts(id)
        assert.isEmpty(more)
        assert.deepInclude(alert, { severity: "critical", occurrences: 2 })
        assert.match(alert?.message ?? "", /expired on \d{4}-\d\d-\d\d\.$/)
        yield* conduct(id, { [column]: "now() + interval '90 days'" })
        yield* watchConduct
        assert.isEmpty(yield* openAlerts(id))
      }))
  }

  it.effect("ends what is open about a webhook that is no more, or was switched on or off by its owner", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("over")
      const deleted = yield* webhook(client, failing(20, 60))
      const revived = yield* webhook(client, failing(20, 60))
      const off = yield* webhook(client, { ...failing(5, 1), ...window(5, 5_000) })
      yield* watchConduct
      assert.deepStrictEqual(yield* openAlerts(off.id), ["consecutive_failures", "high_latency"])
      yield* conduct(off.id, { is_active: "false", deactivation_reason: "'owner'" })
      yield* conduct(deleted.id, { deleted_at: "now()" })
      yield* conduct(revived.id, {
        is_active: "true",
        deactivation_reason: "NULL",
        heal_at: "NULL",
        failing_since: "NULL"
      })
      yield* watchConduct
      assert.isEmpty(yield* openAlerts(deleted.id))
      assert.isEmpty(yield* openAlerts(revived.id))
      assert.isEmpty(yield* openAlerts(off.id))
    }))
})
