import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api } from "../support/ApiTest.ts"

interface Deliveries {
  readonly deliveries: ReadonlyArray<{ readonly id: string; readonly webhook_id: string }>
}

const webhooksOf = ({ deliveries }: Deliveries) => deliveries.map(({ webhook_id }) => webhook_id)

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Events", (it) => {
  it.effect("an event becomes one delivery for each webhook of its client that wants it", () =>
    Effect.gen(function*() {
      const { newTenant } = yield* ApiTest
      const { client, publisher } = yield* newTenant
      const { client: stranger } = yield* newTenant
      yield* Rows.register(stranger)
      const wanting = (events: ReadonlyArray<string>, fields: object = {}) =>
        Effect.map(Rows.register(client, { events, ...fields }), ({ id }): string => id)
      const exact = yield* wanting(["deal.won"])
      const prefix = yield* wanting(["deal.*"])
      const all = yield* wanting(["*"])
      const twice = yield* wanting(["deal.won", "deal.*", "*"])
      const below = yield* wanting(["deal.won.*"])
      yield* wanting(["deal.wo", "deals.*", "DEAL.WON", "won"])
      yield* wanting(["*"], { is_active: false })
      const won = yield* Rows.publish(publisher, "deal.won")
      assert.hasAllKeys(won, ["event_id", "deliveries"])
      assert.match(won.event_id, /^evt_[0-7][0-9a-hjkmnp-tv-z]{25}$/)
      for (const delivery of won.deliveries) {
        assert.hasAllKeys(delivery, ["id", "webhook_id"])
        assert.match(delivery.id, /^dlv_[0-7][0-9a-hjkmnp-tv-z]{25}$/)
      }
      assert.sameMembers(webhooksOf(won), [exact, prefix, all, twice])
      const reached = (type: string) => Effect.map(Rows.publish(publisher, type), webhooksOf)
      assert.sameMembers(yield* reached("deal.won.twice"), [prefix, all, twice, below])
      assert.sameMembers(yield* reached("lead.created"), [all, twice])
      assert.sameMembers(yield* reached("deal"), [all, twice])
    }))

  it.effect("an event that nobody wants is kept all the same", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const { deliveries, event_id } = yield* Rows.publish(client, "not.wanted")
      assert.isEmpty(deliveries)
      assert.deepInclude(yield* Rows.read(client, `/api/events/${event_id}`), { deliveries: [], payload: { id: 1 } })
    }))

  it.effect("an event is read back with its payload, its time and what became of its deliveries", () =>
    Effect.gen(function*() {
      const { attempted, newTenant } = yield* ApiTest
      const { client, id, viewer } = yield* newTenant
      yield* Rows.register(client)
      const occurred_at = "2025-02-20T09:34:00.000Z"
      const { deliveries: [delivery], event_id } = yield* Rows.publish(client, "deal.won", { n: 1 }, { occurred_at })
      yield* attempted(delivery.id)
      const { created_at, ...event } = yield* Rows.read(viewer, `/api/events/${event_id}`)
      assert.isAbove(Date.parse(created_at), Date.parse(occurred_at))
      assert.deepStrictEqual(event, {
        id: event_id,
        client_id: id,
        event_type: "deal.won",
        occurred_at,
        payload: { n: 1 },
        deliveries: [{ ...delivery, status: "failed_retryable" }]
      })
      const { payload } = yield* Rows.read(viewer, `/api/deliveries/${delivery.id}`)
      assert.deepStrictEqual(payload, { created_at: occurred_at, data: { n: 1 }, event_id, event_type: "deal.won" })
    }))

  it.effect("the time of an event is the publisher's, in any offset, or now", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const occurredAt = (fields: object) =>
        Effect.flatMap(Rows.publish(a.client, "time.told", {}, fields), ({ event_id }) =>
          Effect.map(Rows.read(a.client, `/api/events/${event_id}`), (event): string =>
            event.occurred_at))
      assert.strictEqual(yield* occurredAt({ occurred_at: "2025-02-20T09:34:00-03:00" }), "2025-02-20T12:34:00.000Z")
      assert.strictEqual(yield* occurredAt({ occurred_at: "1969-07-20T20:17:40.5Z" }), "1969-07-20T20:17:40.500Z")
      assert.strictEqual(yield* occurredAt({ occurred_at: "2025-02-20" }), "2025-02-20T00:00:00.000Z")
      const before = Date.parse(yield* occurredAt({}))
      assert.isAtLeast(Date.parse(yield* occurredAt({})), before)
      for (
        const wrong of ["", "1", "now", "20.02.2025", "2025-02-20T25:00:00Z", "-271821-04-20T00:00:00Z", 1740044040]
      ) {
        const event = { event_type: "time.told", payload: {}, occurred_at: wrong }
        const { json } = expectProblem(yield* a.client.post("/api/events", event), 422, "invalid_value")
        assert.strictEqual(json.errors[0].path, "occurred_at")
      }
    }))

  it.effect("sensitive values are gone before anything is stored", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      yield* Rows.register(client)
      const payload = {
        id: 1,
        password: "canary",
        user: { senha: "canary", accessToken: ["canary"], "X-Api-Key": { v: "canary" }, tokenizer: "kept" },
        cards: [{ card_number: "canary", cvv: 123, holder: "Ana" }],
        cpf: null
      }
      const { deliveries, event_id } = yield* Rows.publish(client, "user.created", payload)
      const redacted = "[REDACTED]"
      const expected = {
        id: 1,
        password: redacted,
        user: { senha: redacted, accessToken: redacted, "X-Api-Key": redacted, tokenizer: "kept" },
        cards: [{ card_number: redacted, cvv: redacted, holder: "Ana" }],
        cpf: null
      }
      assert.deepStrictEqual((yield* Rows.read(client, `/api/events/${event_id}`)).payload, expected)
      assert.deepStrictEqual((yield* Rows.read(client, `/api/deliveries/${deliveries[0].id}`)).payload.data, expected)
    }))

  it.effect("types of our own are nobody's to publish", () =>
    Effect.gen(function*() {
      const { a, operator } = yield* ApiTest
      for (const event_type of ["webhook", "webhook.ping", "webhook.deactivated.now"]) {
        for (const sender of [a.publisher, operator]) {
          const answer = yield* sender.post("/api/events", { event_type, payload: {} })
          assert.strictEqual(expectProblem(answer, 422, "event_type_reserved").json.errors[0].path, "event_type")
        }
      }
      yield* Rows.publish(a.client, "webhooks.ping")
    }))

  it.effect("a type is a dotted name, and a payload an object", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const refuse = (event: object, path: string) =>
        Effect.map(a.client.post("/api/events", { event_type: "a.b", payload: {}, ...event }), (answer) =>
          assert.strictEqual(expectProblem(answer, 422, "invalid_value").json.errors[0].path, path))
      for (const event_type of ["", "deal.", ".won", "a..b", "deal won", "deal.*", "é", "x".repeat(129)]) {
        yield* refuse({ event_type }, "event_type")
      }
      yield* Rows.publish(a.client, "x".repeat(128))
      for (const payload of [null, [], "{}", 1]) {
        yield* refuse({ payload }, "payload")
      }
    }))

  it.effect("a payload that is too large as it would be sent is a 413", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const event = { event_type: "a.b", payload: { text: "x".repeat(262_144) } }
      expectProblem(yield* a.client.post("/api/events", event), 413, "payload_too_large")
      // Six bytes for each as canonical JSON has them.
      const escaped = { event_type: "a.b", payload: { text: "é".repeat(50_000) } }
      expectProblem(yield* a.client.post("/api/events", escaped), 413, "payload_too_large")
      yield* Rows.publish(a.client, "a.b", { text: "x".repeat(250_000) })
    }))

  it.effect("events are listed newest first, by type and by page", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { client, id, viewer } = yield* newTenant
      const ids: Array<string> = []
      for (const type of ["a.b", "c.d", "a.b", "a.b"]) ids.unshift((yield* Rows.publish(client, type)).event_id)
      const first = yield* Rows.read(viewer, "/api/events?limit=3")
      assert.hasAllKeys(first.data[0], ["id", "client_id", "event_type", "occurred_at", "created_at"])
      const rest = yield* Rows.read(viewer, `/api/events?limit=3&cursor=${first.page.next_cursor}`)
      const idsOf = (list: { data: ReadonlyArray<{ id: string }> }) => list.data.map((event) => event.id)
      assert.deepStrictEqual([idsOf(first), idsOf(rest)], [ids.slice(0, 3), ids.slice(3)])
      assert.deepStrictEqual(rest.page, { limit: 3, next_cursor: null })
      assert.deepStrictEqual(idsOf(yield* Rows.read(viewer, "/api/events?event_type=c.d")), [ids[2]])
      assert.deepStrictEqual(idsOf(yield* Rows.read(operator, `/api/events?client_id=${id}`)), ids)
      assert.includeMembers(idsOf(yield* Rows.read(operator, "/api/events?limit=200")), ids)
      expectProblem(yield* viewer.get("/api/events?cursor=x"), 422, "cursor_invalid")
      for (const query of ["event_type=a..b", "limit=0", "client_id=%20"]) {
        expectProblem(yield* viewer.get(`/api/events?${query}`), 422, "invalid_value")
      }
    }))

  it.effect("a batch is answered in its order, and each event as if it were alone", () =>
    Effect.gen(function*() {
      const { client, publisher } = yield* (yield* ApiTest).newTenant
      const webhook = yield* Rows.register(client, { events: ["deal.*"] })
      const types = ["deal.won", "lead.created", "deal.lost"]
      const events = types.map((event_type, n) => ({ event_type, payload: { n, token: "x" } }))
      const { json } = expectStatus(yield* publisher.post("/api/events/batch", { events }), 202)
      assert.hasAllKeys(json, ["data"])
      assert.deepStrictEqual(json.data.map(webhooksOf), [[webhook.id], [], [webhook.id]])
      for (const [n, { event_id }] of json.data.entries()) {
        const event = yield* Rows.read(client, `/api/events/${event_id}`)
        assert.deepInclude(event, { event_type: types[n], payload: { n, token: "[REDACTED]" } })
      }
    }))

  it.effect("a batch has 1 to 1,000 events of one client, and is taken whole or not at all", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { client, id } = yield* newTenant
      const other = yield* newTenant
      const event = { event_type: "a.b", payload: {} }
      const batch = (events: ReadonlyArray<object>, sender = client) => sender.post("/api/events/batch", { events })
      const refuse = (events: ReadonlyArray<object>, code: string, path: string, sender = client) =>
        Effect.map(
          batch(events, sender),
          (answer) => assert.strictEqual(expectProblem(answer, 422, code).json.errors[0].path, path)
        )
      yield* refuse([], "missing_field", "events.0")
      yield* refuse(Array.from({ length: 1_001 }, () => event), "invalid_value", "events")
      yield* refuse([event, { ...event, event_type: "a b" }], "invalid_value", "events.1.event_type")
      yield* refuse([event, { payload: {} }], "missing_field", "events.1.event_type")
      yield* refuse([event, { ...event, surplus: 1 }], "unknown_field", "events.1.surplus")
      yield* refuse([event, { ...event, event_type: "webhook.x" }], "event_type_reserved", "events.1.event_type")
      const mixed = [{ ...event, client_id: id }, { ...event, client_id: other.id }]
      yield* refuse(mixed, "batch_mixed_clients", "events.1.client_id", operator)
      expectProblem(yield* batch(mixed.toReversed()), 422, "batch_mixed_clients")
      const large = { ...event, payload: { text: "x".repeat(262_144) } }
      expectProblem(yield* batch([event, event, large]), 413, "payload_too_large")
      assert.isEmpty((yield* Rows.read(client, "/api/events")).data)
      assert.isEmpty((yield* Rows.read(other.client, "/api/events")).data)
      const { json } = expectStatus(yield* batch(Array.from({ length: 1_000 }, () => event)), 202)
      assert.strictEqual(new Set(json.data.map(({ event_id }: { event_id: string }) => event_id)).size, 1_000)
    }))
})
