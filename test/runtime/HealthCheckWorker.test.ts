import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Tracer } from "effect"
import type { WebhookId } from "../../src/domain/Ids.ts"
import * as HealthCheckWorker from "../../src/runtime/HealthCheckWorker.ts"
import { Probe } from "../../src/service/Probe.ts"
import { WebhookService } from "../../src/service/WebhookService.ts"
import { conduct, failing, row, switchedOff } from "../support/Conduct.ts"
import { passAllTime } from "../support/PassAllTime.ts"
import * as Probing from "../support/Probing.ts"
import * as Rows from "../support/Rows.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Stores from "../support/Stores.ts"

const runOnce = Effect.flatMap(HealthCheckWorker.make({ interval: "15 minutes" }), (runOnce) => runOnce)

const pingsOf = (receiver: ScriptedReceiver.ScriptedReceiver, id: WebhookId) =>
  receiver.received.filter(({ headers }) => headers["x-webhook-id"] === id).length

layer(Probing.layer(), Stores.options)("HealthCheckWorker", (it) => {
  it.scoped("pings what heard nothing for an interval, once in each, and writes what it found", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("quiet")
      const receiver = yield* ScriptedReceiver.make([{ status: 200 }, { status: 500 }])
      const { id } = yield* Probing.register(client, receiver.url())
      yield* runOnce
      assert.isEmpty(receiver.received, "it was registered just now")
      yield* passAllTime("16 minutes")
      yield* Effect.replicateEffect(runOnce, 3)
      assert.strictEqual(pingsOf(receiver, id), 1)
      assert.strictEqual(receiver.received[0]?.headers["x-event-type"], "webhook.ping")
      assert.deepInclude(yield* row(id), { lastCheckResult: "healthy", lastCheckErrorClass: null })
      yield* passAllTime("14 minutes")
      yield* runOnce
      assert.strictEqual(pingsOf(receiver, id), 1)
      yield* passAllTime("5 minutes")
      yield* runOnce
      assert.strictEqual(pingsOf(receiver, id), 2)
      assert.deepInclude(yield* row(id), {
        lastCheckResult: "unhealthy",
        lastCheckErrorClass: "http_5xx",
        // It is no failed attempt.
        failureCount: 0,
        failingSince: null,
        lastFailureAt: null,
        windowAttempts: 0
      })
      const { status } = yield* Effect.flatMap(
        WebhookService,
        (service) => service.health(Probing.callerOf(client), id)
      )
      assert.strictEqual(status, "failing", "but it is shown")
    }))

  it.scoped("is told of by a span, with what it found", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("traced")
      const receiver = yield* ScriptedReceiver.make({ status: 500 })
      const { id } = yield* Probing.register(client, receiver.url("/hook?token=x"), {
        created_at: "now() - interval '1 day'"
      })
      const spans = new Array<Tracer.Span>()
      const tracer = yield* Effect.tracer
      const recording = Tracer.make({
        context: (f, fiber) => tracer.context(f, fiber),
        span: (...args) => {
          const span = tracer.span(...args)
          spans.push(span)
          return span
        }
      })
      yield* Effect.withTracer(runOnce, recording)
      const [span, ...others] = spans.filter(({ name }) => name.startsWith("deeper_hub."))
      assert.strictEqual(span?.name, "deeper_hub.webhooks.health_check.performed")
      assert.deepStrictEqual(Object.fromEntries(span?.attributes ?? []), {
        webhook_id: id,
        url: receiver.url("/hook").href,
        result: "unhealthy"
      })
      assert.isEmpty(others)
    }))

  it.scoped("leaves alone what has traffic, probes of its circuit, or is switched off", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("not-quiet")
      const receiver = yield* ScriptedReceiver.make()
      const old = { created_at: "now() - interval '1 day'" }
      const all = [
        { last_successful_delivery_at: "now() - interval '14 minutes'" },
        { ...failing(1, 1), last_failure_at: "now() - interval '14 minutes'" },
        { last_check_at: "now() - interval '14 minutes'", last_check_result: "'healthy'" },
        { circuit: "'open'", circuit_until: "now() - interval '1 minute'" },
        { circuit: "'half_open'", circuit_until: "now()" },
        switchedOff,
        { deleted_at: "now()" }
      ]
      for (const columns of all) yield* Probing.register(client, receiver.url(), { ...old, ...columns })
      yield* runOnce
      assert.isEmpty(receiver.received)
      yield* passAllTime("2 minutes")
      yield* runOnce
      assert.lengthOf(receiver.received, 3, "an interval after what it heard last")
    }))

  it.scoped("several nodes ping each once", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("nodes")
      const receiver = yield* ScriptedReceiver.make()
      const ids = yield* Effect.replicateEffect(
        Effect.map(
          Probing.register(client, receiver.url(), { created_at: "now() - interval '1 day'" }),
          ({ id }) => id
        ),
        20
      )
      yield* Effect.replicateEffect(runOnce, 4, { concurrency: 4, discard: true })
      assert.sameMembers(receiver.received.map(({ headers }) => headers["x-webhook-id"]), ids)
    }))

  it.scoped("what a ping found of another URL is not written", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("moved")
      const receiver = yield* ScriptedReceiver.make()
      const { id } = yield* Probing.register(client, receiver.url(), { created_at: "now() - interval '1 day'" })
      const moving = Layer.effect(
        Probe,
        Effect.map(Probe, (probe) => ({
          ping: (target) => probe.ping({ ...target, url: `${target.url}elsewhere` })
        }))
      )
      yield* Effect.provide(runOnce, moving)
      assert.strictEqual(pingsOf(receiver, id), 1)
      assert.isNull((yield* row(id))["lastCheckAt"])
    }))

  it.scoped("a bug that one webhook brings out keeps nobody else from being checked", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("bug")
      const receiver = yield* ScriptedReceiver.make()
      const old = { created_at: "now() - interval '1 day'" }
      const doomed = yield* Probing.register(client, receiver.url(), old)
      const other = yield* Probing.register(client, receiver.url(), old)
      yield* conduct(doomed.id, { check_at: "now() - interval '1 minute'" })
      const deadly = Layer.effect(
        Probe,
        Effect.map(Probe, (probe) => ({
          ping: (target) => target.id === doomed.id ? Effect.dieMessage("bug") : probe.ping(target)
        }))
      )
      yield* Effect.provide(runOnce, deadly)
      assert.isNotNull((yield* row(other.id))["lastCheckAt"])
    }))
})
