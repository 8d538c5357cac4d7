/** What the Scheduler does where something is wrong: a database that is away, a node that ended, a bug. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue, TestClock } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"
import type { DueWebhooks } from "../../src/persistence/DueWebhooks.ts"
import type { PersistenceError } from "../../src/persistence/Postgres.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import {
  away,
  inTurn,
  named,
  nothing,
  onePoll,
  scheduler,
  someWebhooks,
  walkOf,
  workFor
} from "../support/SchedulerAlone.ts"

describe("Scheduler", () => {
  it.scoped("logs a claim that failed and goes on with the next poll", () =>
    Effect.gen(function*() {
      const [webhook] = yield* someWebhooks(1)
      assert(webhook)
      const answer = yield* inTurn<ReadonlyArray<ClaimedDelivery>, PersistenceError>(Effect.fail(away), nothing)
      const { claims, layer, said } = yield* scheduler(answer, { dueWebhooks: () => walkOf(webhook) })
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* Queue.take(said), "claim failed, the next poll tries again")
        assert.strictEqual(yield* Queue.size(claims), 1)
        yield* onePoll
        assert.deepStrictEqual(Array.from(yield* Queue.takeN(claims, 2)).map(named), [[webhook], [webhook]])
        const [actor] = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
        assert.deepInclude(actor, { state: "running", restarts: 0 })
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("logs a sweep that failed and goes on with the next poll, from where it stood", () =>
    Effect.gen(function*() {
      const [at, due] = [yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId")]
      const steps = yield* Queue.unbounded<Ids.WebhookId | null>()
      const answer = yield* inTurn<DueWebhooks, PersistenceError>(
        Effect.succeed({ webhooks: [], next: at }),
        Effect.fail(away),
        Effect.succeed({ webhooks: [due], next: null })
      )
      const { claims, layer, said } = yield* scheduler(() => nothing, {
        dueWebhooks: (after) => Effect.zipRight(Queue.offer(steps, after), answer())
      })
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* Queue.take(said), "sweep failed, the next poll tries again")
        yield* workFor(at)
        assert.deepStrictEqual(named(yield* Queue.take(claims)), [at], "signals are heard meanwhile")
        yield* onePoll
        assert.deepStrictEqual(named(yield* Queue.take(claims)), [due])
        assert.deepStrictEqual(Array.from(yield* Queue.takeAll(steps)), [null, at, at])
        const [actor] = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
        assert.deepInclude(actor, { state: "running", restarts: 0 })
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("brings back what ended nodes left before it looks for what is due", () =>
    Effect.gen(function*() {
      const done = yield* Queue.unbounded<string>()
      const did = (what: string) => Queue.offer(done, what)
      const { layer, said } = yield* scheduler(() => nothing, {
        reclaimExpired: Effect.as(did("reclaim"), { ended: 3, setAside: 0 }),
        dueWebhooks: () => Effect.zipRight(did("walk"), walkOf())
      })
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(Array.from(yield* Queue.takeN(done, 2)), ["reclaim", "walk"])
        assert.strictEqual(yield* Queue.take(said), "deliveries of an ended node are due again")
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("is restarted after a bug, and then hears signals as before", () =>
    Effect.gen(function*() {
      const [webhook] = yield* someWebhooks(1)
      assert(webhook)
      const answer = yield* inTurn<ReadonlyArray<ClaimedDelivery>, never>(Effect.dieMessage("a bug"), nothing)
      const { claims, layer } = yield* scheduler(answer)
      yield* Effect.gen(function*() {
        yield* workFor(webhook)
        yield* Queue.take(claims)
        yield* TestClock.adjust("200 millis")
        const [actor] = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
        assert.deepInclude(actor, { state: "running", restarts: 1 })
        yield* workFor(webhook)
        yield* Queue.take(claims)
      }).pipe(Effect.provide(layer))
    }))
})
