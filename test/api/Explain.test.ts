import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { toUuid } from "../../src/domain/Ids.ts"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api, type Sender } from "../support/ApiTest.ts"

interface Explained {
  readonly webhook_id: string
  readonly outcome: string
  readonly reason: string
}

const explain = (sender: Sender, { event_id }: { readonly event_id: string }, query = "") =>
  Rows.read(sender, `/api/events/${event_id}/explain${query}`)

/** Of one webhook. */
const explainedTo = (sender: Sender, event: { readonly event_id: string }, webhook: { readonly id: string }) =>
  Effect.map(
    explain(sender, event),
    ({ webhooks }) => webhooks.find(({ webhook_id }: Explained) => webhook_id === webhook.id)
  )

const change = (sender: Sender, { id }: { readonly id: string }, changes: object) =>
  Effect.map(sender.patch(`/api/webhooks/${id}`, changes), (answer) => expectStatus(answer, 200))

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Explain", (it) => {
  it.scoped("says of each webhook of the client what became of the event, newest webhook first", () =>
    Effect.gen(function*() {
      const { attempted, newTenant } = yield* ApiTest
      const { client, viewer } = yield* newTenant
      const receiver = yield* Rows.receiver()
      const refusing = yield* Rows.receiver({ status: 404 })
      const other = yield* Rows.register(client, { events: ["lead.*"], name: "leads" })
      const off = yield* Rows.register(client, { is_active: false })
      const refused = yield* Rows.register(client, { url: refusing.url() })
      const dead = yield* Rows.register(client)
      const fine = yield* Rows.register(client, { url: receiver.url(), name: "fine" })
      const event = yield* Rows.publish(client, "deal.won")
      for (const { id } of event.deliveries) yield* attempted(id)
      const late = yield* Rows.register(client)
      const { event: shown, page, webhooks } = yield* explain(viewer, event)
      assert.hasAllKeys(shown, ["id", "client_id", "event_type", "occurred_at", "created_at"])
      assert.strictEqual(shown.id, event.event_id)
      assert.deepStrictEqual(page, { limit: 50, next_cursor: null })
      assert.deepStrictEqual(
        webhooks.map(({ outcome, webhook_id }: Explained) => [webhook_id, outcome]),
        [
          [late.id, "created_later"],
          [fine.id, "delivered"],
          [dead.id, "scheduled"],
          [refused.id, "failed"],
          [off.id, "switched_off"],
          [other.id, "not_subscribed"]
        ]
      )
      const [, delivered, scheduled, failed, , unwanted] = webhooks
      assert.deepInclude(delivered, {
        name: "fine",
        url: receiver.url().href,
        attempts: 1,
        last_error_class: null,
        hold: null
      })
      assert.strictEqual(delivered.reason, "It was delivered with attempt 1.")
      assert.isNotNaN(Date.parse(delivered.delivered_at))
      assert.deepInclude(scheduled, { attempts: 1, last_error_class: "connect_refused", delivered_at: null })
      assert.include(scheduled.reason, scheduled.next_retry_at)
      assert.match(failed.reason, /^It failed for good with attempt 1: /)
      assert.deepInclude(unwanted, { name: "leads", delivery_id: null, attempts: 0, next_retry_at: null })
      assert.strictEqual(unwanted.reason, "It asked for lead.* then, and deal.won is none of them.")
    }))

  it.effect("what a webhook was then counts, and not what it is now", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const webhook = yield* Rows.register(client, { events: ["lead.*"], is_active: false })
      const unwanted = yield* Rows.publish(client, "deal.won")
      yield* change(client, webhook, { events: ["deal.*"], name: "renamed" })
      const off = yield* Rows.publish(client, "deal.won")
      yield* change(client, webhook, { is_active: true })
      yield* change(client, webhook, { events: ["*"] })
      const sent = yield* Rows.publish(client, "deal.won")
      yield* change(client, webhook, { is_active: false, events: ["nothing"] })
      const outcomes = yield* Effect.forEach([unwanted, off, sent], (event) => explainedTo(client, event, webhook))
      assert.deepStrictEqual(outcomes.map(({ outcome }) => outcome).slice(0, 2), ["not_subscribed", "switched_off"])
      assert.strictEqual(outcomes[0].reason, "It asked for lead.* then, and deal.won is none of them.")
      assert.strictEqual(outcomes[1].reason, "Its owner had switched it off then.")
      assert.isNotNull(outcomes[2].delivery_id)
    }))

  it.scoped("what is held says why, since when, and what ends it", () =>
    Effect.gen(function*() {
      const { attempted, newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const sql = yield* SqlClient.SqlClient
      const gone = yield* Rows.register(client, { url: (yield* Rows.receiver({ status: 410 })).url(), events: ["a.b"] })
      const { deliveries: [first] } = yield* Rows.publish(client, "a.b")
      yield* attempted(first.id)
      const held = yield* explainedTo(client, yield* Rows.publish(client, "a.b"), gone)
      assert.deepInclude(held, { outcome: "held", hold: "deactivated" })
      assert.match(
        held.reason,
        /^It is due since \S+Z and waits: .* 410 Gone .* switched off at \S+Z\. Switching it on/
      )
      const open = yield* Rows.register(client, { events: ["c.d"] })
      yield* sql`
        UPDATE webhooks SET circuit = 'open', circuit_until = '2035-01-01T00:00:00Z' WHERE id = ${toUuid(open.id)}`
      const waiting = yield* explainedTo(client, yield* Rows.publish(client, "c.d"), open)
      assert.deepInclude(waiting, { outcome: "held", hold: "circuit", attempts: 0 })
      assert.include(waiting.reason, "until 2035-01-01T00:00:00.000Z")
    }))

  it.scoped("a webhook that was deleted since is there if the event had a delivery to it", () =>
    Effect.gen(function*() {
      const { attempted, newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const receiver = yield* Rows.receiver()
      const sent = yield* Rows.register(client, { url: receiver.url() })
      const never = yield* Rows.register(client, { events: ["never"] })
      const event = yield* Rows.publish(client, "deal.won")
      yield* attempted(event.deliveries[0].id)
      for (const { id } of [sent, never]) expectStatus(yield* client.del(`/api/webhooks/${id}`), 204)
      const { webhooks } = yield* explain(client, event)
      assert.deepStrictEqual(webhooks.map(({ outcome, webhook_id }: Explained) => [webhook_id, outcome]), [
        [sent.id, "delivered"]
      ])
    }))

  it.effect("a test went to one webhook alone", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const tried = yield* Rows.register(client, { events: ["lead.*"] })
      const other = yield* Rows.register(client, { events: ["*", "webhook.*"] })
      for (const body of [{}, { event_type: "deal.won" }]) {
        const { json } = expectStatus(yield* client.post(`/api/webhooks/${tried.id}/test`, body), 202)
        assert.strictEqual((yield* explainedTo(client, json, other)).outcome, "not_addressed")
        assert.isNotNull((yield* explainedTo(client, json, tried)).delivery_id)
      }
    }))

  it.effect("a client with many webhooks reads them page by page, and only its own", () =>
    Effect.gen(function*() {
      const { b, newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const ids: Array<string> = []
      for (let n = 0; n < 5; n++) ids.unshift((yield* Rows.register(client, { events: [n % 2 === 0 ? "*" : "no"] })).id)
      const event = yield* Rows.publish(client, "deal.won")
      const idsOf = ({ webhooks }: { webhooks: ReadonlyArray<Explained> }) =>
        webhooks.map(({ webhook_id }) => webhook_id)
      const first = yield* explain(client, event, "?limit=3")
      const rest = yield* explain(client, event, `?limit=3&cursor=${first.page.next_cursor}`)
      assert.deepStrictEqual([idsOf(first), idsOf(rest)], [ids.slice(0, 3), ids.slice(3)])
      assert.deepStrictEqual(rest.page, { limit: 3, next_cursor: null })
      expectProblem(yield* b.client.get(`/api/events/${event.event_id}/explain`), 404, "event_not_found")
      expectProblem(yield* client.get(`/api/events/${event.event_id}/explain?cursor=x`), 422, "cursor_invalid")
    }))
})
