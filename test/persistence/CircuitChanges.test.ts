import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Circuit from "../../src/domain/Circuit.ts"
import { CircuitStore } from "../../src/persistence/CircuitStore.ts"
import { WebhookStore } from "../../src/persistence/WebhookStore.ts"
import { row } from "../support/Conduct.ts"
import * as Endpoints from "../support/Endpoints.ts"
import { passTime } from "../support/PassTime.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const { everyone } = Stores

layer(Endpoints.layer, Stores.options)("A circuit", (it) => {
  it.effect("is changed by the first of two that decide on the same", () =>
    Effect.gen(function*() {
      const { id } = yield* Endpoints.begin("two decide")
      const store = yield* CircuitStore
      const changes = [0, 0.9].map((jitter) => {
        const failing = {
          successes: 0,
          failures: 5,
          consecutiveFailures: 5,
          windowAttempts: 5,
          windowFailures: 5,
          probeSucceeded: null
        }
        return Circuit.observe(Circuit.closed, failing, jitter)
      })
      const won = yield* Effect.forEach(
        changes,
        (change) =>
          change === null
            ? Effect.dieMessage("no change")
            : Effect.map(
              store.change([{ ...change, webhookId: id, from: Circuit.closed, version: 0 }]),
              (changed) => changed.has(id)
            ),
        { concurrency: "unbounded" }
      )
      assert.sameMembers(won, [true, false])
      assert.deepInclude(yield* Endpoints.circuitOf(id), {
        circuit: "open",
        openings: 1,
        seconds: won[0] === true ? 30 : 40
      })
    }))

  it.effect("is not changed by what was decided on an equal one that it was before", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("equal")
      const [store, webhooks] = [yield* CircuitStore, yield* WebhookStore]
      const move = (url: string) => webhooks.modify(everyone, id, (current) => Effect.succeed({ ...current, url }))
      yield* Endpoints.open(client, id)
      const equal = yield* Effect.forEach(["https://example.com/a", "https://example.com/b"], (url) =>
        Effect.gen(function*() {
          yield* move(url)
          return { circuit: yield* Endpoints.circuitOf(id), version: Number((yield* row(id))["circuitVersion"]) }
        }))
      const [before, after] = equal
      assert(before && after)
      assert.deepStrictEqual(before.circuit, after.circuit)
      const change = {
        webhookId: id,
        circuit: { ...Circuit.closing(0), ramp: 2 },
        pauseMs: null,
        from: Circuit.closing(0)
      }
      assert.strictEqual((yield* store.change([{ ...change, version: before.version }])).size, 0)
      assert.deepStrictEqual(yield* Endpoints.circuitOf(id), after.circuit)
      assert.strictEqual((yield* store.change([{ ...change, version: after.version }])).size, 1)
      assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "closed", ramp: 2 })
    }))

  it.effect("opens at half of the attempts of a minute, and a new minute begins anew", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("minute")
      const { leased } = yield* Endpoints.publish(client, 60)
      const half = (from: number) =>
        Effect.gen(function*() {
          yield* Endpoints.fail(leased.slice(from, from + 4))
          yield* Endpoints.succeed(leased.slice(from + 4, from + 9))
          yield* Endpoints.fail(leased.slice(from + 9, from + 13))
          yield* Endpoints.succeed(leased.slice(from + 13, from + 18))
        })
      yield* half(0)
      yield* passTime(client, 61)
      yield* half(18)
      yield* Endpoints.fail(leased.slice(36, 37))
      assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "closed", failures: 1 })
      yield* Endpoints.fail(leased.slice(37, 38))
      assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "open", failures: 2 }, "ten of twenty")
    }))

  it.effect("begins anew when its owner gives it another URL, or switches it on", () =>
    Effect.gen(function*() {
      const webhooks = yield* WebhookStore
      const off = { isActive: false, deactivationReason: "owner" } as const
      const on = { isActive: true, deactivationReason: null } as const
      for (const changes of [[{ url: "https://example.com/new" }], [off, on]]) {
        const { client, id } = yield* Endpoints.begin(`anew-${changes.length}`)
        yield* Endpoints.open(client, id)
        for (const change of changes) {
          yield* webhooks.modify(everyone, id, (current) => Effect.succeed({ ...current, ...change }))
        }
        assert.deepInclude(yield* Endpoints.circuitOf(id), {
          circuit: "closed",
          openings: 0,
          ramp: 1,
          failures: 0,
          seconds: null
        })
        yield* passTime(client, 60)
        assert.deepStrictEqual((yield* Endpoints.claim(id)).map(({ probe }) => probe), [false])
      }
    }))

  it.effect("stays as it is when its owner changes something else", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("renamed")
      yield* Endpoints.open(client, id)
      const webhooks = yield* WebhookStore
      yield* webhooks.modify(everyone, id, (current) => Effect.succeed({ ...current, name: "other", timeoutMs: 9 }))
      assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "open", openings: 1, seconds: 30 })
    }))

  it.effect("holds nothing of a webhook that was deleted: its deliveries are claimed, to be ended", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("deleted")
      yield* Endpoints.open(client, id)
      yield* Effect.flatMap(WebhookStore, (webhooks) => webhooks.remove(everyone, id))
      yield* passTime(client, 15)
      assert.deepStrictEqual((yield* Endpoints.deliveriesOf(id)).map(({ hold }) => hold), [
        null,
        null,
        null,
        null,
        null
      ])
      const claimed = yield* Endpoints.claim(id)
      assert.deepStrictEqual(
        claimed.map(({ probe, secretSealed }) => [probe, secretSealed]),
        Array.from(claimed, () => [false, null])
      )
      yield* Effect.flatMap(
        Effect.forEach(claimed, (delivery) =>
          Rows.outcome(delivery, {
            result: "failure_permanent",
            status: "failed_permanent",
            errorClass: "webhook_deleted"
          })),
        Endpoints.record
      )
      assert.isTrue((yield* Endpoints.deliveriesOf(id)).every(({ status }) => status === "failed_permanent"))
    }))

  it.effect("tries nothing while its webhook is switched off, which holds what is due", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("off")
      yield* Endpoints.open(client, id)
      yield* Effect.flatMap(SqlClient.SqlClient, (sql) =>
        sql`
          UPDATE webhooks SET is_active = false, deactivation_reason = 'failures', deactivated_at = now()
          WHERE client_id = ${client}
        `)
      assert.lengthOf((yield* Endpoints.publish(client, 1)).leased, 0)
      yield* passTime(client, 60)
      assert.lengthOf(yield* Endpoints.claim(id), 0)
      assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "open" })
      assert.deepStrictEqual(
        (yield* Endpoints.deliveriesOf(id)).map(({ hold }) => hold),
        Array.from({ length: 6 }, () => "deactivated" as const)
      )
    }))
})
