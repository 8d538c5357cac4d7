import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Fiber, Layer, Option, PubSub, Queue } from "effect"
import { toUuid, type WebhookId } from "../../src/domain/Ids.ts"
import { AuditStore } from "../../src/persistence/AuditStore.ts"
import { HealingStore } from "../../src/persistence/HealingStore.ts"
import * as AutoHealing from "../../src/runtime/AutoHealing.ts"
import { Probe } from "../../src/service/Probe.ts"
import { WebhookService } from "../../src/service/WebhookService.ts"
import { Signals } from "../../src/telemetry/Signals.ts"
import { alerts, notices, openAlerts, row, switchedOff } from "../support/Conduct.ts"
import { soon } from "../support/Eventually.ts"
import { passAllTime } from "../support/PassAllTime.ts"
import * as Probing from "../support/Probing.ts"
import * as Rows from "../support/Rows.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Stores from "../support/Stores.ts"

const runOnce = Effect.flatMap(AutoHealing.make, (runOnce) => runOnce)

/** Minutes from now until it is looked at next. */
const nextLook = (id: WebhookId) =>
  Effect.gen(function*() {
    const { healAt } = yield* row(id)
    assert.instanceOf(healAt, Date)
    return (healAt.getTime() - DateTime.toEpochMillis(yield* DateTime.now)) / 60_000
  })

layer(Probing.layer(), Stores.options)("AutoHealing", (it) => {
  it.scoped("switches on what answers, tells everyone who is to know, and lets the backlog out step by step", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("healed")
      yield* Rows.makeWebhook(client, ["webhook.reactivated"])
      const receiver = yield* ScriptedReceiver.make({ status: 204 })
      const { id } = yield* Probing.register(client, receiver.url(), {
        ...switchedOff,
        circuit: "'open'",
        circuit_until: "now() + interval '10 minutes'",
        circuit_openings: "7"
      })
      const sql = yield* SqlClient.SqlClient
      for (const kind of ["webhook_deactivated", "consecutive_failures"]) {
        yield* sql`SELECT raise_alert(${client}, ${toUuid(id)}, ${kind}, 'critical', 'it fails', '{}')`
      }
      const signals = yield* PubSub.subscribe(yield* Signals)
      yield* runOnce
      const { headers } = yield* soon(Queue.take(receiver.requests))
      assert.deepInclude(headers, { "x-event-type": "webhook.ping", "x-webhook-id": id })
      assert.deepInclude(yield* row(id), {
        isActive: true,
        deactivationReason: null,
        deactivatedAt: null,
        healAt: null,
        healingAttempts: 0,
        failureCount: 0,
        failingSince: null,
        circuit: "closed",
        circuitUntil: null,
        circuitOpenings: 0,
        circuitRamp: 1,
        lastCheckResult: "healthy"
      })
      assert.deepInclude(yield* Queue.take(signals), { _tag: "WebhookReactivated", webhookId: id })
      assert.deepInclude(yield* Queue.take(signals), { _tag: "WorkArrived", webhookIds: [id] })
      assert.deepStrictEqual(yield* openAlerts(id), ["webhook_reactivated"])
      assert.deepInclude((yield* alerts(id)).at(-1), { severity: "info", occurrences: 1 })
      const reactivated = (yield* notices(id)).find(({ eventType }) => eventType === "webhook.reactivated")
      assert.deepInclude(reactivated?.payload, { webhook_id: id })
      const audit = yield* AuditStore
      const { data } = yield* audit.list(
        { only: client },
        { action: "webhook.reactivated", resourceId: id },
        { limit: 5, after: null }
      )
      assert.deepStrictEqual(data.map(({ after, role }) => ({ after, role })), [
        { role: "system", after: { deactivation_reason: null, is_active: true } }
      ])
    }))

  it.scoped("looks ever less often at what does not answer, an hour apart at last", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("patient")
      const receiver = yield* ScriptedReceiver.make({ status: 503 })
      const { id } = yield* Probing.register(client, receiver.url(), switchedOff)
      for (const minutes of [2, 4, 8, 16, 32, 60, 60]) {
        yield* runOnce
        const wait = yield* nextLook(id)
        assert.isAtLeast(wait, minutes * 0.79)
        assert.isAtMost(wait, minutes * 1.21)
        const looked = receiver.received.length
        yield* runOnce
        assert.lengthOf(receiver.received, looked, "not before its time")
        yield* passAllTime(`${minutes * 73} seconds`)
      }
      assert.deepInclude(yield* row(id), {
        isActive: false,
        failureCount: 20,
        lastCheckResult: "unhealthy",
        lastCheckErrorClass: "http_5xx"
      })
    }))

  it.scoped("takes a 410 at its word: looks no more, and tells its client why", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("gone")
      yield* Rows.makeWebhook(client, ["webhook.deactivated"])
      const receiver = yield* ScriptedReceiver.make({ status: 410 })
      const { id } = yield* Probing.register(client, receiver.url(), switchedOff)
      const sql = yield* SqlClient.SqlClient
      yield* sql`SELECT raise_alert(${client}, ${toUuid(id)}, 'webhook_deactivated', 'critical', 'it fails', '{}')`
      yield* runOnce
      assert.deepInclude(yield* row(id), {
        isActive: false,
        deactivationReason: "gone",
        healAt: null,
        healingAttempts: 0
      })
      yield* passAllTime("2 hours")
      yield* runOnce
      assert.lengthOf(receiver.received, 1)
      assert.deepStrictEqual(yield* openAlerts(id), ["webhook_deactivated"])
      const [alert, ...others] = yield* alerts(id)
      assert.isEmpty(others, "it is one deactivation, of which there is more to say")
      assert.deepInclude(alert, { severity: "critical", occurrences: 2 })
      assert.match(alert?.message ?? "", /410 Gone/)
      const [notice, ...more] = yield* notices(id)
      assert.isEmpty(more)
      assert.deepInclude(notice?.payload, { webhook_id: id, deactivation_reason: "gone", message: alert?.message })
      const audit = yield* AuditStore
      const { data } = yield* audit.list(
        { only: client },
        { action: "webhook.deactivated", resourceId: id },
        { limit: 5, after: null }
      )
      assert.deepStrictEqual(data.map(({ after, before, role }) => ({ after, before, role })), [{
        role: "system",
        before: { deactivation_reason: "failures", is_active: false },
        after: { deactivation_reason: "gone", is_active: false }
      }])
    }))

  it.scoped("leaves off what its owner or a 410 switched off, and what is deleted", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("left-off")
      const receiver = yield* ScriptedReceiver.make()
      for (
        const change of [
          { deactivation_reason: "'owner'" },
          { deactivation_reason: "'gone'" },
          { deleted_at: "now()" }
        ]
      ) yield* Probing.register(client, receiver.url(), { ...switchedOff, ...change })
      yield* runOnce
      assert.isEmpty(receiver.received)
    }))

  it.scoped("two nodes never look at one at once", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("two-nodes")
      const receiver = yield* ScriptedReceiver.make({ status: 500 })
      const ids = yield* Effect.replicateEffect(
        Effect.map(Probing.register(client, receiver.url(), switchedOff), ({ id }) => id),
        20
      )
      yield* Effect.replicateEffect(runOnce, 4, { concurrency: 4, discard: true })
      const looked = receiver.received.map(({ headers }) => headers["x-webhook-id"])
      assert.sameMembers(looked, ids)
    }))

  it.scoped("what its owner decides during a look stands", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("overruled")
      const receiver = yield* ScriptedReceiver.make("hang")
      const { id } = yield* Probing.register(client, receiver.url(), { ...switchedOff, timeout_ms: "1000" })
      const look = yield* Effect.fork(runOnce)
      yield* soon(Queue.take(receiver.requests))
      const service = yield* WebhookService
      yield* service.update(Probing.callerOf(client), id, { isActive: false })
      yield* Fiber.join(look)
      assert.deepInclude(yield* row(id), { isActive: false, deactivationReason: "owner", healAt: null })
      const store = yield* HealingStore
      assert.isEmpty(yield* store.take(10))
    }))

  it.scoped("a node that slept through its look changes nothing", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("slept")
      const { id } = yield* Probing.register(client, new URL("http://127.0.0.1:1024/"), switchedOff)
      const store = yield* HealingStore
      const [first] = yield* store.take(10)
      assert(first)
      yield* passAllTime("61 seconds")
      const [second] = yield* store.take(10)
      assert.deepInclude(second, { id, looks: 2 })
      assert.isFalse(yield* store.reactivate(first))
      assert.isFalse(yield* store.giveUp(first))
      yield* store.postpone(first, 3_600_000)
      assert.isBelow(yield* nextLook(id), 2)
      assert(second)
      assert.isTrue(yield* store.reactivate(second))
    }))

  it.scoped("a bug that one webhook brings out keeps nobody else from being looked at", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("bug")
      const receiver = yield* ScriptedReceiver.make()
      const doomed = yield* Probing.register(client, receiver.url(), switchedOff)
      const other = yield* Probing.register(client, receiver.url(), switchedOff)
      const deadly = Layer.effect(
        Probe,
        Effect.map(Probe, (probe) => ({
          ping: (target) => target.id === doomed.id ? Effect.dieMessage("bug") : probe.ping(target)
        }))
      )
      yield* Effect.provide(runOnce, deadly)
      assert.isFalse((yield* row(doomed.id))["isActive"])
      assert.isTrue((yield* row(other.id))["isActive"])
    }))

  it.scoped("its owner's ping that is answered has it looked at now, and an open circuit try now", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("pinged")
      const receiver = yield* ScriptedReceiver.make([{ status: 500 }, { status: 200 }])
      const { id } = yield* Probing.register(client, receiver.url(), {
        ...switchedOff,
        heal_at: "now() + interval '1 hour'"
      })
      const open = yield* Probing.register(client, receiver.url(), {
        circuit: "'open'",
        circuit_until: "now() + interval '1 hour'"
      })
      const service = yield* WebhookService
      const caller = Probing.callerOf(client)
      assert.strictEqual((yield* service.ping(caller, id)).result, "failure_retryable")
      yield* runOnce
      assert.isFalse((yield* row(id))["isActive"], "a ping in vain changes nothing")
      yield* service.ping(caller, id)
      yield* runOnce
      assert.isTrue((yield* row(id))["isActive"])
      const signals = yield* PubSub.subscribe(yield* Signals)
      yield* service.ping(caller, open.id)
      assert.deepInclude(yield* Queue.take(signals), { _tag: "WorkArrived", webhookIds: [open.id] })
      assert.isTrue(Option.isNone(yield* Queue.poll(signals)))
      const { circuit, circuitUntil } = yield* row(open.id)
      assert.strictEqual(circuit, "open")
      assert.instanceOf(circuitUntil, Date)
      assert.isAtMost(circuitUntil.getTime(), DateTime.toEpochMillis(yield* DateTime.now) + 1_000)
    }))
})
