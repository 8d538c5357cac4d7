import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectStatus, layer as Api, type Sender } from "../support/ApiTest.ts"
import { eventually } from "../support/Eventually.ts"

/** A webhook with a receiver of its own, and the types of what came to it. */
const subscribe = (sender: Sender, ...events: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const receiver = yield* Rows.receiver()
    const webhook = yield* Rows.register(sender, { url: receiver.url(), events })
    const bodies = Effect.sync(() =>
      receiver.received.map(({ body }): ReturnType<typeof JSON.parse> => JSON.parse(Buffer.from(body).toString()))
    )
    return { webhook, bodies, types: Effect.map(bodies, (all) => all.map(({ event_type }) => event_type)) }
  })

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Notices", (it) => {
  it.scoped("go to those who subscribe by name or prefix, never by *, and never to the webhook they tell of", () =>
    Effect.gen(function*() {
      const { a, newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const gone = yield* Rows.receiver({ status: 410 })
      const dead = yield* Rows.register(client, {
        url: gone.url(),
        events: ["notices.begin", "webhook.*", "alert.*", "webhook.deactivated"]
      })
      const [byName, byPrefix, alerts, everything, foreign] = yield* Effect.all([
        subscribe(client, "webhook.deactivated"),
        subscribe(client, "webhook.*", "alert.*", "delivery.*"),
        subscribe(client, "alert.raised"),
        subscribe(client, "*"),
        subscribe(a.client, "webhook.*", "alert.*", "delivery.*")
      ])
      const { deliveries } = yield* Rows.publish(client, "notices.begin")
      const { id } = deliveries.find(({ webhook_id }: { webhook_id: string }) => webhook_id === dead.id)
      const expected = ["alert.raised", "delivery.exhausted", "webhook.deactivated"]
      yield* eventually(byPrefix.types, (types) => types.length === expected.length)
      assert.sameMembers(yield* byPrefix.types, expected)
      yield* eventually(byName.types, (types) => types.length > 0)
      assert.deepStrictEqual(yield* byName.types, ["webhook.deactivated"])
      yield* eventually(alerts.types, (types) => types.length > 0)
      assert.deepStrictEqual(yield* alerts.types, ["alert.raised"])
      yield* eventually(everything.types, (types) => types.length > 0)
      assert.deepStrictEqual(yield* everything.types, ["notices.begin"])
      assert.isEmpty(yield* foreign.types)
      assert.lengthOf(gone.received, 1)

      const notices = yield* byPrefix.bodies
      const dataOf = (type: string) => notices.find(({ event_type }) => event_type === type)?.["data"]
      assert.deepInclude(dataOf("webhook.deactivated"), { webhook_id: dead.id, deactivation_reason: "gone" })
      assert.deepInclude(dataOf("delivery.exhausted"), {
        webhook_id: dead.id,
        delivery_id: id,
        event_type: "notices.begin",
        attempt_count: 1,
        error_class: "http_410"
      })
      const { data: [alert] } = yield* Rows.read(client, "/api/alerts")
      assert.deepInclude(alert, { webhook_id: dead.id, kind: "webhook_deactivated", severity: "critical" })
      assert.deepInclude(dataOf("alert.raised"), { alert_id: alert.id, webhook_id: dead.id, message: alert.message })
      const { data } = yield* Rows.read(client, "/api/events?event_type=alert.raised")
      assert.lengthOf(data, 1, "a notice is an event like any other, once it is on its way")
    }))

  it.scoped("a platform's transaction publishes what it commits, and nothing that it takes back", () =>
    Effect.gen(function*() {
      const { newTenant } = yield* ApiTest
      const { client, id } = yield* newTenant
      const { bodies, types } = yield* subscribe(client, "deal.*")
      const sql = yield* SqlClient.SqlClient
      const insert = (n: number) =>
        sql`INSERT INTO outbox (client_id, event_type, payload) VALUES (${id}, 'deal.won', ${JSON.stringify({ n })})`
      yield* Effect.flip(sql.withTransaction(Effect.zipRight(insert(1), Effect.fail("taken back"))))
      yield* sql.withTransaction(insert(2))
      yield* eventually(types, (all) => all.length > 0)
      assert.deepStrictEqual((yield* bodies).map(({ data }) => data), [{ n: 2 }])
      assert.isEmpty(yield* sql`SELECT FROM outbox WHERE client_id = ${id}`)
    }))

  it.effect("nobody publishes what is the service's own to tell", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      for (const event_type of ["webhook.deactivated", "delivery.exhausted", "alert.raised"]) {
        const answer = expectStatus(yield* a.client.post("/api/events", { event_type, payload: {} }), 422)
        assert.strictEqual(answer.json.code, "event_type_reserved")
        assert.include(answer.json.detail, event_type)
      }
    }))
})
