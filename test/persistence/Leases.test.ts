import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { randomUUID } from "node:crypto"
import * as Ids from "../../src/domain/Ids.ts"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"
import { DeliveryHistory } from "../../src/persistence/DeliveryHistory.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { StatsStore } from "../../src/persistence/StatsStore.ts"
import { notices } from "../support/Conduct.ts"
import * as Endpoints from "../support/Endpoints.ts"
import { passTime } from "../support/PassTime.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const { everyone } = Stores

const reclaim = Effect.flatMap(DeliveryStore, (store) => Effect.map(store.reclaimExpired, ({ ended }) => ended))

const find = (id: Ids.DeliveryId) =>
  Effect.flatMap(DeliveryHistory, (history) => Effect.map(history.find(everyone, id), Option.getOrThrow))

/** Those at work on these deliveries die, and their leases end. */
const die = (client: Ids.ClientId) => Effect.zipRight(passTime(client, 31), reclaim)

const claimOne = (id: Ids.WebhookId) =>
  Effect.map(Endpoints.claim(id), ([delivery]) => {
    assert(delivery)
    return delivery
  })

/** A delivery that so many nodes, one after the other, ended with. */
const endNodes = (client: Ids.ClientId, id: Ids.WebhookId, nodes: number) =>
  Effect.gen(function*() {
    let last: ClaimedDelivery | null = null
    for (let i = 0; i < nodes; i++) {
      last = yield* claimOne(id)
      yield* die(client)
      yield* passTime(client, 600)
    }
    return last
  })

const alertsOf = (client: Ids.ClientId) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql`
      SELECT kind, severity, occurrences, details::json->>'delivery_id' AS delivery, webhook_id
      FROM alerts WHERE client_id = ${client}
    `)

layer(Endpoints.layer, Stores.options)("Leases", (it) => {
  it.effect("are prolonged from now on, by the node that holds them and by no other", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("prolonged")
      yield* Rows.publish(client, "deal.won")
      yield* Rows.publish(client, "deal.won")
      const [mine, other] = yield* Endpoints.claim(id)
      assert(mine)
      assert(other)
      yield* passTime(client, 25)
      const store = yield* DeliveryStore
      const foreign = { id: other.id, leaseToken: randomUUID() }
      assert.deepStrictEqual([...yield* store.prolong([mine, foreign], 30)], [mine.id])
      yield* passTime(client, 10)
      assert.strictEqual(yield* reclaim, 1)
      assert.deepStrictEqual([...yield* store.prolong([mine, other], 30)], [mine.id], "the other's had ended")
      yield* store.record([yield* Rows.outcome(mine)])
      assert.strictEqual((yield* store.prolong([mine], 30)).size, 0, "nor does what is delivered have one")
    }))

  it.effect("that ran out still stand until somebody takes notice, and are prolonged as well", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("late")
      yield* Rows.publish(client, "deal.won")
      const mine = yield* claimOne(id)
      yield* passTime(client, 300)
      const store = yield* DeliveryStore
      assert.strictEqual((yield* store.prolong([mine], 30)).size, 1)
      assert.strictEqual(yield* reclaim, 0)
      assert.strictEqual((yield* store.record([yield* Rows.outcome(mine)])).deliveries.size, 1)
    }))

  it.effect("of a node that died end as attempts of unknown outcome, uncharged, and spread out", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("spread")
      yield* Endpoints.publish(client, 40)
      assert.strictEqual(yield* die(client), 40)
      const waits = yield* waitsOf(client)
      assert.isTrue(waits.every((seconds) => seconds <= 3), String(waits))
      assert.isAbove(new Set(waits).size, 30)
      yield* passTime(client, 3)
      const again = yield* Endpoints.claim(id)
      assert.lengthOf(again, 40)
      assert.isTrue(again.every(({ attemptCount, chargedCount }) => attemptCount === 1 && chargedCount === 0))
      yield* die(client)
      const longer = yield* waitsOf(client)
      assert.isTrue(longer.every((seconds) => seconds <= 30), String(longer))
      assert.isTrue(longer.some((seconds) => seconds > 3), "ten times as far as the first time")
    }))

  it.effect("of a node that died are attempts that the webhook's stats count, of no known duration", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("counted", { retryCount: 20 })
      yield* Endpoints.publish(client, 3)
      yield* die(client)
      yield* passTime(client, 600)
      const [again, ...others] = yield* Endpoints.claim(id)
      assert(again)
      yield* Endpoints.succeed(others)
      yield* die(client)
      yield* passTime(client, 600)
      yield* endNodes(client, id, 1)
      const stats = yield* StatsStore
      const { tallies } = Option.getOrThrow(yield* stats.read(everyone, id, "1h"))
      const unknown = tallies.filter(({ outcome }) => outcome === "outcome_unknown")
      const sum = (of: (tally: typeof unknown[number]) => number) => unknown.reduce((n, tally) => n + of(tally), 0)
      assert.deepStrictEqual(
        [sum(({ attempts }) => attempts), sum(({ retries }) => retries), sum(({ rescheduled }) => rescheduled)],
        [5, 2, 4],
        "the third of one delivery was its last"
      )
      assert.deepStrictEqual(unknown.flatMap(({ latencies }) => latencies), [])
    }))

  it.effect("G62 of three nodes in a row that died with the same delivery set it aside, and its owner is told", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("poison", { retryCount: 20 })
      yield* Rows.publish(client, "deal.won")
      const sibling = yield* Rows.makeWebhook(client, ["*", "delivery.*"])
      const last = yield* endNodes(client, id, 3)
      assert(last)
      const { attempts, ...delivery } = yield* find(last.id)
      assert.deepInclude(delivery, {
        status: "failed_permanent",
        errorClass: "poison",
        attemptCount: 3,
        nextRetryAt: null,
        hold: null
      })
      assert.deepStrictEqual(attempts.map(({ number, result }) => [number, result]), [
        [1, "outcome_unknown"],
        [2, "outcome_unknown"],
        [3, "outcome_unknown"]
      ])
      const alert = { kind: "delivery_quarantined", severity: "critical", occurrences: 1, delivery: last.id }
      assert.deepStrictEqual(yield* alertsOf(client), [{ ...alert, webhookId: Ids.toUuid(id) }])
      assert.lengthOf(yield* Endpoints.claim(id), 0)
      assert.lengthOf(yield* Endpoints.claim(sibling.id), 0, "which was made later")
      const { errorClass, errorMessage, eventId, eventType } = delivery
      assert.deepStrictEqual(yield* notices(id), [{
        eventType: "delivery.exhausted",
        payload: {
          delivery_id: last.id,
          webhook_id: id,
          event_id: eventId,
          event_type: eventType,
          attempt_count: 3,
          error_class: errorClass,
          error_message: errorMessage
        }
      }])
      yield* reclaim
      assert.lengthOf(yield* notices(id), 1, "told once")
    }))

  it.effect("that set aside a notice leave no other: that would be the next", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("a-notice")
      yield* Rows.makeWebhook(client, ["delivery.exhausted"])
      yield* Rows.publish(client, "delivery.exhausted")
      yield* endNodes(client, id, 3)
      assert.isEmpty(yield* notices(id))
    }))

  it.effect("G62 of deliveries that died with the same node are counted each by itself, and the others go on", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("beside")
      yield* Rows.publish(client, "deal.won")
      yield* endNodes(client, id, 2)
      yield* Rows.publish(client, "deal.won")
      assert.lengthOf(yield* Endpoints.claim(id), 2)
      yield* die(client)
      const statuses = (yield* Endpoints.deliveriesOf(id)).map(({ errorClass, status }) => [status, errorClass])
      assert.deepStrictEqual(statuses, [["pending", "outcome_unknown"], ["failed_permanent", "poison"]])
      yield* passTime(client, 600)
      yield* Endpoints.succeed(yield* Endpoints.claim(id))
      assert.deepStrictEqual(
        (yield* Endpoints.deliveriesOf(id)).map(({ status }) => status),
        ["delivered", "failed_permanent"]
      )
    }))

  for (const kind of ["an outcome", "a retry by hand"] as const) {
    it.effect(`of nodes that died are counted anew after ${kind}`, () =>
      Effect.gen(function*() {
        const { client, id } = yield* Endpoints.begin(kind)
        yield* Rows.publish(client, "deal.won")
        const last = yield* endNodes(client, id, 2)
        assert(last)
        if (kind === "an outcome") yield* Endpoints.fail([yield* claimOne(id)])
        else yield* Effect.flatMap(DeliveryHistory, (history) => history.requeue(everyone, last.id))
        yield* passTime(client, 600)
        yield* endNodes(client, id, 2)
        assert.notStrictEqual((yield* find(last.id)).status, "failed_permanent")
        yield* endNodes(client, id, 1)
        assert.deepInclude(yield* find(last.id), { status: "failed_permanent", errorClass: "poison" })
      }))
  }

  it.effect("may be had again by hand of what was set aside, and it is delivered if it was not the cause", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("again")
      yield* Rows.publish(client, "deal.won")
      const last = yield* endNodes(client, id, 3)
      assert(last)
      const history = yield* DeliveryHistory
      assert.isTrue(Option.getOrThrow(yield* history.requeue(everyone, last.id)).requeued)
      yield* Endpoints.succeed([yield* claimOne(id)])
      const { attempts, ...delivery } = yield* find(last.id)
      assert.deepInclude(delivery, { status: "delivered", errorClass: null, errorMessage: null, attemptCount: 4 })
      assert.deepStrictEqual(attempts.map(({ number }) => number), [1, 2, 3, 4])
    }))
})

/** Seconds until they are due again. */
const waitsOf = (client: Ids.ClientId) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql<{ readonly seconds: number }>`
        SELECT extract(epoch FROM next_retry_at - now())::float8 AS seconds FROM deliveries WHERE client_id = ${client}
      `,
      (rows) => rows.map(({ seconds }) => seconds)
    ))
