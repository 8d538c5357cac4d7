/** Statements that touch many webhooks at once: two of them never wait for each other, whatever order they come in. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { randomUUID } from "node:crypto"
import * as Ids from "../../src/domain/Ids.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { eventually } from "../support/Eventually.ts"
import { passTime } from "../support/PassTime.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const webhooksMax = 40

const begin = (name: string) =>
  Effect.gen(function*() {
    const client = yield* Rows.makeClient(name)
    const webhooks = yield* Effect.replicateEffect(Rows.makeWebhook(client, ["*"]), webhooksMax)
    return { client, ids: webhooks.map(({ id }) => id) }
  })

const claim = (webhooks: ReadonlyArray<Ids.WebhookId>) =>
  Effect.flatMap(DeliveryStore, (store) =>
    store.claim({
      webhooks: webhooks.map((webhookId) => ({ webhookId, most: 1 })),
      leaseToken: randomUUID(),
      leaseSeconds: 30
    }))

/** Statements that wait for a row, or for whoever waits for one. */
const waiting = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    ({ length }) => length
  ))

const isWaiting = (wanted: number) => eventually(waiting, (count) => count >= wanted)

/** Both begin while somebody else has one webhook in the middle of either's way. */
const meeting = <A, E, R>(ids: ReadonlyArray<Ids.WebhookId>, both: ReadonlyArray<Effect.Effect<A, E, R>>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [locked, leave] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const middle = ids[Math.floor(ids.length / 2)]
    assert(middle)
    const third = yield* Effect.fork(sql.withTransaction(
      sql`SELECT FROM webhooks WHERE id = ${Ids.toUuid(middle)} FOR UPDATE`.pipe(
        Effect.zipRight(Deferred.succeed(locked, undefined)),
        Effect.zipRight(Deferred.await(leave))
      )
    ))
    yield* Deferred.await(locked)
    const first = yield* Effect.fork(Effect.all(both, { concurrency: "unbounded" }))
    yield* Effect.race(isWaiting(both.length), Fiber.await(first))
    yield* Deferred.succeed(leave, undefined)
    yield* Fiber.join(third)
    return yield* Fiber.join(first)
  })

/** What switches a webhook off and raises an alert, in the statement that counts it. */
const gone = {
  result: "failure_permanent",
  status: "failed_permanent",
  errorClass: "http_410",
  errorMessage: "The endpoint is gone."
} as const

layer(Stores.layer, Stores.options)("Two nodes", (it) => {
  it.effect("that claim probes of the same webhooks never wait for each other", () =>
    Effect.gen(function*() {
      const { client, ids } = yield* begin("probes")
      yield* Rows.publish(client, "deal.won")
      yield* Effect.flatMap(SqlClient.SqlClient, (sql) =>
        sql`UPDATE webhooks SET circuit = 'open', circuit_until = now() WHERE client_id = ${client}`)
      const claims = yield* meeting(ids, [claim(ids), claim(ids.toReversed())])
      const claimed = claims.flat().map(({ webhookId }) =>
        webhookId
      )
      assert.strictEqual(new Set(claimed).size, claimed.length)
      yield* passTime(client, 1)
      const rest = yield* claim(ids)
      assert.lengthOf(rest.concat(claims.flat()), webhooksMax)
    }))

  for (const [name, change] of [["outcomes", {}], ["endpoints that are gone", gone]] as const) {
    it.effect(`that record ${name} of the same webhooks never wait for each other`, () =>
      Effect.gen(function*() {
        const { client, ids } = yield* begin(name.replaceAll(" ", "-"))
        yield* Effect.replicateEffect(Rows.publish(client, "deal.won"), 2)
        const [one, other] = [yield* claim(ids), yield* claim(ids.toReversed())]
        const store = yield* DeliveryStore
        const record = (deliveries: typeof one) =>
          Effect.flatMap(Effect.forEach(deliveries, (delivery) => Rows.outcome(delivery, change)), store.record)
        const recorded = yield* meeting(ids, [record(one), record(other.toReversed())])
        assert.deepStrictEqual(recorded.map(({ deliveries }) => deliveries.size), [webhooksMax, webhooksMax])
      }))
  }
})
