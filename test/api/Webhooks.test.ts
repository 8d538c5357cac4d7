import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api, type Sender } from "../support/ApiTest.ts"

const idsOf = (list: { readonly data: ReadonlyArray<{ readonly id: string }> }) => list.data.map(({ id }) => id)

const cursorOf = (text: string) => Buffer.from(text).toString("base64url")

/** Every page of a list, following its cursors. */
const pages = (sender: Sender, path: string) =>
  Effect.gen(function*() {
    const found = [yield* Rows.read(sender, path)]
    for (let next = found[0].page.next_cursor; next !== null; next = found.at(-1).page.next_cursor) {
      found.push(yield* Rows.read(sender, `${path}&cursor=${next}`))
    }
    return found
  })

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Webhooks", (it) => {
  it.effect("a list is read newest first, page by page, each row once", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const made: Array<string> = []
      for (let i = 0; i < 7; i++) made.unshift((yield* Rows.register(client)).id)
      const [first, second, third, ...more] = yield* pages(client, "/api/webhooks?limit=3")
      assert.isEmpty(more)
      assert.deepStrictEqual([first, second, third].map(idsOf), [made.slice(0, 3), made.slice(3, 6), made.slice(6)])
      assert.strictEqual(first.page.limit, 3)
      assert.isNull(third.page.next_cursor)
      assert.deepStrictEqual((yield* Rows.read(client, "/api/webhooks")).page, { limit: 50, next_cursor: null })
      const exact = yield* Rows.read(client, "/api/webhooks?limit=7")
      assert.isNull(exact.page.next_cursor, "a last page that is full is the last all the same")
    }))

  it.effect("what is made or deleted meanwhile moves no page", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const made = [yield* Rows.register(client), yield* Rows.register(client), yield* Rows.register(client)]
      const { page } = yield* Rows.read(client, "/api/webhooks?limit=1")
      yield* Rows.register(client)
      expectStatus(yield* client.del(`/api/webhooks/${made[2].id}`), 204)
      const rest = yield* Rows.read(client, `/api/webhooks?limit=9&cursor=${page.next_cursor}`)
      assert.deepStrictEqual(idsOf(rest), [made[1].id, made[0].id])
    }))

  it.effect("limits and cursors are checked", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      for (const limit of ["0", "201", "-1", "1.5", "many", ""]) {
        const { json } = expectProblem(yield* a.client.get(`/api/webhooks?limit=${limit}`), 422, "invalid_value")
        assert.strictEqual(json.errors[0].path, "limit")
      }
      assert.strictEqual((yield* Rows.read(a.client, "/api/webhooks?limit=200")).page.limit, 200)
      for (
        const cursor of [
          "",
          "x",
          "%00",
          cursorOf("1"),
          cursorOf("' OR 1=1"),
          cursorOf("whk_01jmh2v3s8e5xt6dq4t9v0r1kz")
        ]
      ) {
        const { json } = expectProblem(yield* a.client.get(`/api/webhooks?cursor=${cursor}`), 422, "cursor_invalid")
        assert.strictEqual(json.errors[0].path, "cursor")
      }
    }))

  it.effect("filters choose by state, by the events that reach a webhook, and by client", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { client, id } = yield* newTenant
      const { client: other } = yield* newTenant
      const exact = (yield* Rows.register(client, { events: ["deal.won"] })).id
      const prefix = (yield* Rows.register(client, { events: ["deal.*"], is_active: false })).id
      const all = (yield* Rows.register(client, { events: ["*"] })).id
      yield* Rows.register(client, { events: ["lead.*", "deals.won"] })
      yield* Rows.register(other)
      const list = (query: string) => Effect.map(Rows.read(client, `/api/webhooks?${query}`), idsOf)
      assert.deepStrictEqual(yield* list("is_active=false"), [prefix])
      assert.lengthOf(yield* list("is_active=true"), 3)
      assert.deepStrictEqual(yield* list("event_type=deal.won"), [all, prefix, exact])
      assert.deepStrictEqual(yield* list("event_type=deal.won.late"), [all, prefix])
      assert.deepStrictEqual(yield* list("event_type=deal.won&is_active=true"), [all, exact])
      assert.deepStrictEqual(yield* list(`event_type=deal.won&client_id=${id}&limit=1`), [all])
      const found = yield* Rows.read(operator, `/api/webhooks?client_id=${id}&limit=200`)
      assert.lengthOf(found.data, 4)
      for (
        const [query, path] of [["is_active=maybe", "is_active"], ["event_type=a..b", "event_type"], [
          "client_id=%20",
          "client_id"
        ]]
      ) {
        const { json } = expectProblem(yield* operator.get(`/api/webhooks?${query}`), 422, "invalid_value")
        assert.strictEqual(json.errors[0].path, path)
      }
    }))

  it.effect("a change changes what it names and nothing else", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const { secret: _, warnings: __, ...before } = yield* Rows.register(a.client, { headers: { "x-a": "1" } })
      const changes: ReadonlyArray<Readonly<Record<string, unknown>>> = [
        { name: "CRM" },
        { name: null },
        { description: "Negócios" },
        { url: "https://example.com/other" },
        { events: ["lead.*"] },
        { signatures: ["deeper_hub"] },
        { retry_count: 1 },
        { timeout_ms: 200 },
        { secret_expires_at: "2031-01-01T00:00:00.000Z" },
        { secret_expires_at: null },
        { is_active: false },
        { is_active: true },
        {}
      ]
      const expected = { ...before }
      for (const change of changes) {
        const { json } = expectStatus(yield* a.client.patch(`/api/webhooks/${before.id}`, change), 200)
        const reason = "is_active" in change
          ? { deactivation_reason: change["is_active"] === true ? null : "owner" }
          : {}
        Object.assign(expected, change, reason, { updated_at: json.updated_at })
        assert.deepStrictEqual(json, { ...expected, warnings: [] })
        assert.deepStrictEqual(yield* Rows.read(a.client, `/api/webhooks/${before.id}`), expected)
      }
      const renamed = yield* a.client.patch(`/api/webhooks/${before.id}`, { headers: { "x-b": "2" } })
      assert.deepStrictEqual(renamed.json.headers, { "x-b": "********" }, "headers are replaced as a whole")
      assert.deepStrictEqual((yield* a.client.patch(`/api/webhooks/${before.id}`, { headers: {} })).json.headers, {})
    }))

  it.scoped("a header whose mask is sent back keeps its value, and a mask without a value is refused", () =>
    Effect.gen(function*() {
      const { a, attempted } = yield* ApiTest
      const receiver = yield* Rows.receiver()
      const webhook = yield* Rows.register(a.client, {
        url: receiver.url().href,
        events: ["mask.tested"],
        headers: { "X-Kept": "the value", "X-Gone": "another" }
      })
      const change = { headers: { "X-Kept": "********", "X-New": "new" }, timeout_ms: 6_000 }
      const { json } = expectStatus(yield* a.client.patch(`/api/webhooks/${webhook.id}`, change), 200)
      assert.deepStrictEqual(json.headers, { "X-Kept": "********", "X-New": "********" })
      const { deliveries } = yield* Rows.publish(a.client, "mask.tested")
      yield* attempted(deliveries[0].id)
      const [request] = receiver.received
      assert.strictEqual(request?.headers["x-kept"], "the value")
      assert.strictEqual(request?.headers["x-new"], "new")
      assert.notProperty(request?.headers, "x-gone")
      const masked = { headers: { "X-Gone": "********" } }
      for (
        const refused of [
          yield* a.client.patch(`/api/webhooks/${webhook.id}`, masked),
          yield* a.client.post("/api/webhooks", { url: Rows.deadUrl, events: ["*"], ...masked })
        ]
      ) {
        const { json: problem } = expectProblem(refused, 422, "header_value_masked")
        assert.strictEqual(problem.errors[0].path, "headers.X-Gone")
      }
    }))

  it.effect("A8 a host in two alphabets is accepted with a warning that shows both its spellings", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const [lookalike, url] = ["https://p\u0430ypal.com/", "https://xn--pypal-4ve.com/"]
      const { warnings: [warning, ...others], ...registered } = yield* Rows.register(a.client, { url: lookalike })
      assert.strictEqual(registered.url, url)
      assert.deepStrictEqual({ ...warning, message: "" }, { path: "url", code: "url_mixed_scripts", message: "" })
      assert.include(warning.message, "p\u0430ypal.com")
      assert.include(warning.message, "xn--pypal-4ve.com")
      assert.isEmpty(others)
      const change = (fields: object) =>
        Effect.map(
          a.client.patch(`/api/webhooks/${registered.id}`, fields),
          (answer) => expectStatus(answer, 200).json.warnings
        )
      assert.deepStrictEqual(yield* change({ name: "said before" }), [])
      assert.deepStrictEqual(yield* change({ url: "https://b\u00fccher.example/" }), [])
      assert.deepStrictEqual(yield* change({ url: lookalike }), [warning])
      assert.notProperty(yield* Rows.read(a.client, `/api/webhooks/${registered.id}`), "warnings")
    }))

  it.effect("K80 nobody changes whose a webhook is, or what we count", () =>
    Effect.gen(function*() {
      const { a, b, operator } = yield* ApiTest
      const { id } = yield* Rows.register(a.client)
      const before = yield* Rows.read(a.client, `/api/webhooks/${id}`)
      for (
        const field of ["client_id", "id", "failure_count", "circuit", "deactivation_reason", "updated_at", "secret"]
      ) {
        for (const sender of [a.client, operator]) {
          const answer = yield* sender.patch(`/api/webhooks/${id}`, { [field]: b.id })
          assert.strictEqual(expectProblem(answer, 422, "unknown_field").json.errors[0].path, field)
        }
      }
      assert.deepStrictEqual(yield* Rows.read(a.client, `/api/webhooks/${id}`), before)
    }))

  it.effect("a changed subscription counts from the next event on", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const { id } = yield* Rows.register(client, { events: ["subscription.first"] })
      yield* client.patch(`/api/webhooks/${id}`, { events: ["subscription.second"] })
      assert.isEmpty((yield* Rows.publish(client, "subscription.first")).deliveries)
      assert.lengthOf((yield* Rows.publish(client, "subscription.second")).deliveries, 1)
    }))

  it.effect("a deleted webhook is gone, and no event reaches it", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const { id } = yield* Rows.register(client, { events: ["deletion.tested"] })
      const answer = yield* client.del(`/api/webhooks/${id}`)
      assert.deepInclude(answer, { status: 204, text: "" })
      const gone = yield* Effect.all([
        client.get(`/api/webhooks/${id}`),
        client.del(`/api/webhooks/${id}`),
        client.patch(`/api/webhooks/${id}`, { is_active: true }),
        client.post(`/api/webhooks/${id}/test`, {}),
        client.post(`/api/webhooks/${id}/ping`)
      ])
      for (const problem of gone) expectProblem(problem, 404, "webhook_not_found")
      assert.notInclude(idsOf(yield* Rows.read(client, "/api/webhooks?limit=200")), id)
      assert.isEmpty((yield* Rows.publish(client, "deletion.tested")).deliveries)
    }))
})
