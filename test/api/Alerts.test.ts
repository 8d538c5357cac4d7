import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api } from "../support/ApiTest.ts"

const moment = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

interface Entry {
  readonly id: string
  readonly kind: string
}

const idsOf = ({ data }: { readonly data: ReadonlyArray<Entry> }) => data.map(({ id }) => id)

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Alerts", (it) => {
  it.effect("are listed with all that is known of them", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const tenant = yield* newTenant
      const webhook = yield* Rows.register(tenant.client)
      const id = yield* Rows.raise(webhook, { details: { average_ms: 4_200.5, since: null } })
      yield* Rows.raise(webhook, { details: { average_ms: 4_300.5, since: null } })
      const { data: [alert], page } = yield* Rows.read(tenant.viewer, "/api/alerts")
      const { last_raised_at, raised_at, ...rest } = alert
      assert.match(raised_at, moment)
      assert.match(last_raised_at, moment)
      assert.deepStrictEqual(rest, {
        id,
        client_id: tenant.id,
        webhook_id: webhook.id,
        kind: "high_latency",
        severity: "warning",
        message: "It takes long to answer.",
        details: { average_ms: 4_300.5, since: null },
        occurrences: 2,
        acknowledged_at: null,
        resolved_at: null
      })
      assert.deepStrictEqual(page, { next_cursor: null, limit: 50 })
      assert.deepStrictEqual((yield* Rows.read(operator, `/api/alerts?client_id=${tenant.id}`)).data, [alert])
    }))

  it.effect("are found by webhook, kind and state, newest first, page by page", () =>
    Effect.gen(function*() {
      const { newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const [one, two] = [yield* Rows.register(client), yield* Rows.register(client)]
      const first = yield* Rows.raise(one)
      const second = yield* Rows.raise(one, { kind: "webhook_reactivated", severity: "info" })
      const third = yield* Rows.raise(two)
      expectStatus(yield* client.post(`/api/alerts/${second}/acknowledge`), 200)
      const found = (query: string) => Effect.map(Rows.read(client, `/api/alerts?${query}`), idsOf)
      assert.deepStrictEqual(yield* found(""), [third, second, first])
      assert.deepStrictEqual(yield* found(`webhook_id=${one.id}`), [second, first])
      assert.deepStrictEqual(yield* found("kind=high_latency"), [third, first])
      assert.deepStrictEqual(yield* found("state=open"), [third, first])
      assert.deepStrictEqual(yield* found("state=resolved"), [second])
      const { page } = yield* Rows.read(client, "/api/alerts?limit=2")
      assert.deepStrictEqual(yield* found(`limit=2&cursor=${page.next_cursor}`), [first])
      for (const wrong of ["kind=broken", "state=closed", "webhook_id=x", "client_id=a%20b"]) {
        expectProblem(yield* client.get(`/api/alerts?${wrong}`), 422, "invalid_value")
      }
    }))

  it.effect("one that goes on stays open when it is acknowledged; one about a moment is over", () =>
    Effect.gen(function*() {
      const { newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const webhook = yield* Rows.register(client)
      const goesOn = yield* Rows.raise(webhook)
      const moments = [
        yield* Rows.raise(webhook, { kind: "delivery_quarantined" }),
        yield* Rows.raise(webhook, { kind: "webhook_reactivated" })
      ]
      const seen = expectStatus(yield* client.post(`/api/alerts/${goesOn}/acknowledge`), 200).json
      assert.match(seen.acknowledged_at, moment)
      assert.deepInclude(seen, { id: goesOn, resolved_at: null })
      for (const id of moments) {
        const { json } = expectStatus(yield* client.post(`/api/alerts/${id}/acknowledge`, {}), 200)
        assert.strictEqual(json.resolved_at, json.acknowledged_at)
        assert.match(json.resolved_at, moment)
      }
    }))

  it.effect("acknowledging again changes nothing; the first is on record", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { client, id: clientId } = yield* newTenant
      const webhook = yield* Rows.register(client)
      const id = yield* Rows.raise(webhook)
      const path = `/api/alerts/${id}/acknowledge`
      const { text } = expectStatus(yield* client.post(path), 200)
      assert.strictEqual(expectStatus(yield* operator.post(path), 200).text, text)
      const { data } = yield* Rows.read(client, `/api/audit?resource_id=${id}`)
      assert.lengthOf(data, 1)
      assert.deepInclude(data[0], {
        action: "alert.acknowledged",
        client_id: clientId,
        resource_id: id,
        role: "client",
        before: { acknowledged: false },
        after: { acknowledged: true, kind: "high_latency", webhook_id: webhook.id }
      })
    }))

  it.effect("are read by viewers, acknowledged by those who may write, and shown to nobody else", () =>
    Effect.gen(function*() {
      const { newTenant } = yield* ApiTest
      const [mine, other] = [yield* newTenant, yield* newTenant]
      const webhook = yield* Rows.register(mine.client)
      const id = yield* Rows.raise(webhook)
      expectProblem(yield* mine.viewer.post(`/api/alerts/${id}/acknowledge`), 403, "forbidden")
      expectProblem(yield* mine.publisher.get("/api/alerts"), 403, "forbidden")
      expectProblem(yield* other.client.post(`/api/alerts/${id}/acknowledge`), 404, "alert_not_found")
      assert.isEmpty((yield* Rows.read(other.viewer, `/api/alerts?webhook_id=${webhook.id}`)).data)
      assert.isNull((yield* Rows.read(mine.viewer, "/api/alerts")).data[0].acknowledged_at)
      expectProblem(yield* mine.client.post(`/api/alerts/${id}/acknowledge`, { note: "x" }), 422, "body_not_allowed")
    }))
})
