/**
 * An endpoint fails for an hour and comes back: its webhook is switched off with notice, everything published meanwhile is
 * held and spends no attempts, and when it answers again it is switched on with notice and gets all of it, the oldest
 * first, and never more at once than it has shown that it can take.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer, vi } from "@effect/vitest"
import { DateTime, Duration, Effect, Layer, Queue, Schema } from "effect"
import type * as net from "node:net"
import * as Ids from "../../src/domain/Ids.ts"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectStatus, make, type Sender } from "../support/ApiTest.ts"
import { openAlerts, row } from "../support/Conduct.ts"
import { eventually, soon } from "../support/Eventually.ts"
import { passAllTime } from "../support/PassAllTime.ts"
import * as PgTest from "../support/PgTest.ts"
import type * as ScriptedReceiver from "../support/ScriptedReceiver.ts"

vi.setConfig({ testTimeout: 300_000 })

const Api = make({
  databaseUrl: PgTest.url,
  settings: {
    WEBHOOKS_AUTO_DEACTIVATION_FAILURE_THRESHOLD: "8",
    WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS: "100"
  }
}).pipe(Layer.provideMerge(PgTest.layer))

type Receiver = ScriptedReceiver.ScriptedReceiver

/** What came besides pings. */
const deliveriesTo = (receiver: Receiver) =>
  receiver.received.filter(({ headers }) => headers["x-event-type"] !== "webhook.ping")
    .map(({ headers }) => headers["x-delivery-id"] ?? "")

const publish = (client: Sender) => Effect.map(Rows.publish(client, "deal.won"), ({ deliveries }) => deliveries[0].id)

/** A minute, in which a deal is won; then whatever was to be tried in it has been. */
const minute = (client: Sender, id: Ids.WebhookId) =>
  Effect.gen(function*() {
    yield* passAllTime("1 minute")
    const delivery: string = yield* publish(client)
    yield* eventually(Effect.all([row(id), DateTime.nowAsDate]), ([{ circuit, circuitUntil, isActive }, now]) =>
      isActive === false || (circuit === "open" && circuitUntil instanceof Date && circuitUntil > now))
    return delivery
  })

const Spent = Schema.Tuple(Schema.Struct({ attempts: Schema.Int, charged: Schema.Int, leased: Schema.Int }))

/** What the webhook's deliveries have cost so far, and how many are under way. */
const spent = (id: Ids.WebhookId) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [sums] = yield* Effect.flatMap(
      sql`
        SELECT sum(attempt_count)::int AS attempts, sum(charged_count)::int AS charged, count(lease_token)::int AS leased
        FROM deliveries WHERE webhook_id = ${Ids.toUuid(id)}`,
      Schema.decodeUnknown(Spent)
    )
    return sums
  })

/** Deliveries in the order in which they became due. */
const waitingOf = (id: Ids.WebhookId) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ readonly id: string }>`
      SELECT id FROM deliveries WHERE webhook_id = ${Ids.toUuid(id)} AND next_retry_at IS NOT NULL
      ORDER BY next_retry_at, id`
    return rows.map(({ id }) => Ids.fromUuid("DeliveryId", id) as string)
  })

/** The first five attempts fail, and the circuit opens. */
const breakDown = (client: Sender, id: Ids.WebhookId) =>
  Effect.gen(function*() {
    const { attempted } = yield* ApiTest
    const failed = new Array<string>()
    for (let n = 0; n < 5; n++) {
      const delivery = yield* publish(client)
      yield* attempted(delivery)
      failed.push(delivery)
    }
    yield* eventually(row(id), ({ circuit }) => circuit === "open")
    return failed
  })

/** Answers pings, and keeps deliveries waiting for their answer until they are let go. */
const slowly = (receiver: Receiver) =>
  Effect.gen(function*() {
    const waiting = yield* Queue.unbounded<{ readonly delivery: string; readonly socket: net.Socket }>()
    yield* receiver.answer(({ headers }, socket) => {
      if (headers["x-event-type"] === "webhook.ping") return { status: 200 }
      Queue.unsafeOffer(waiting, { delivery: headers["x-delivery-id"] ?? "", socket })
    })
    return waiting
  })

const ok = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

/** As many arrive as are allowed at once, and no more until these are answered. */
const ramp = (id: Ids.WebhookId, waiting: Effect.Effect.Success<ReturnType<typeof slowly>>, atOnce: number) =>
  Effect.gen(function*() {
    const arrived = yield* soon(Queue.takeN(waiting, atOnce))
    const { circuitRamp } = yield* row(id)
    assert.strictEqual(circuitRamp, atOnce)
    assert.strictEqual((yield* spent(id)).leased, atOnce)
    assert.strictEqual(yield* Queue.size(waiting), 0)
    const deliveries = Array.from(arrived, ({ delivery }) => delivery)
    for (const { socket } of arrived) socket.end(ok)
    return deliveries
  })

const noticesTo = (receiver: Receiver, id: string) =>
  receiver.received
    .map(({ text }) => JSON.parse(text))
    .filter(({ data, event_type }) => event_type !== "webhook.ping" && data.webhook_id === id)
    .map(({ event_type }) => event_type)

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("An hour of failure", (it) => {
  it.scoped("is told of, costs no attempts, and ends with everything delivered", () =>
    Effect.gen(function*() {
      const { client, viewer } = yield* (yield* ApiTest).newTenant
      const endpoint = yield* Rows.receiver({ status: 503 })
      const informed = yield* Rows.receiver()
      const { id } = yield* Rows.register(client, {
        url: endpoint.url(),
        events: ["deal.*"],
        retry_count: 2,
        timeout_ms: 20_000
      })
      yield* Rows.register(client, { url: informed.url(), events: ["webhook.*"] })
      const read = (path: string) => Rows.read(viewer, path)

      const failed = yield* breakDown(client, id)
      yield* eventually(openAlerts(id), (kinds) => kinds.includes("consecutive_failures"))
      const meanwhile = new Array<string>()
      for (let n = 0; n < 14; n++) meanwhile.push(yield* minute(client, id))
      assert.isTrue((yield* row(id))["isActive"], "for fourteen minutes it may recover by itself")
      assert.deepInclude(yield* read(`/api/deliveries/${meanwhile.at(-1)}`), { status: "pending", hold: "circuit" })

      for (let n = 0; n < 2; n++) meanwhile.push(yield* minute(client, id))
      const off = yield* eventually(read(`/api/webhooks/${id}`), ({ is_active }) => !is_active)
      assert.strictEqual(off.deactivation_reason, "failures")
      assert.deepStrictEqual(yield* openAlerts(id), ["consecutive_failures", "webhook_deactivated"])
      yield* eventually(Effect.sync(() => noticesTo(informed, id)), ({ length }) => length > 0)

      for (let n = 0; n < 44; n++) meanwhile.push(yield* minute(client, id))
      yield* eventually(read(`/api/webhooks/${id}/health`), ({ last_check }) => last_check?.result === "unhealthy")
      assert.deepInclude(yield* read(`/api/deliveries/${meanwhile.at(-1)}`), {
        status: "pending",
        hold: "deactivated",
        attempt_count: 0
      })
      const { circuitOpenings } = yield* row(id)
      const probes = Number(circuitOpenings) - 1
      assert.isAtLeast(probes, 3)
      assert.lengthOf(deliveriesTo(endpoint), failed.length + probes)
      assert.deepStrictEqual(yield* spent(id), { attempts: failed.length + probes, charged: failed.length, leased: 0 })

      const order = yield* waitingOf(id)
      assert.sameMembers(order, [...failed, ...meanwhile])
      const waiting = yield* slowly(endpoint)
      yield* passAllTime(Duration.minutes(73))
      yield* eventually(row(id), ({ isActive }) => isActive === true)
      for (const [atOnce, from] of [[1, 0], [2, 1], [4, 3], [8, 7]] as const) {
        assert.sameMembers(yield* ramp(id, waiting, atOnce), order.slice(from, from + atOnce))
      }
      yield* soon(Queue.take(waiting)).pipe(
        Effect.tap(({ socket }) => Effect.sync(() => socket.end(ok))),
        Effect.repeatN(order.length - 16)
      )
      yield* eventually(
        read(`/api/webhooks/${id}/deliveries?status=delivered&limit=100`),
        ({ data }) => data.length === order.length
      )
      const arrived = deliveriesTo(endpoint).slice(failed.length + probes)
      assert.lengthOf(arrived, order.length, "each once")
      for (const [n, delivery] of order.entries()) {
        assert.isAtMost(Math.abs(arrived.indexOf(delivery) - n), 32, "the oldest first")
      }

      yield* eventually(Effect.sync(() => noticesTo(informed, id)), ({ length }) => length > 1)
      assert.deepStrictEqual(noticesTo(informed, id), ["webhook.deactivated", "webhook.reactivated"])
      assert.deepStrictEqual(yield* openAlerts(id), ["webhook_reactivated"])
      const audit = expectStatus(yield* client.get(`/api/audit?resource_id=${id}`), 200).json.data
      assert.deepStrictEqual(
        audit.map(({ action }: { readonly action: string }) => action).slice(0, 2),
        ["webhook.reactivated", "webhook.deactivated"]
      )
    }))
})
