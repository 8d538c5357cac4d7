import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api } from "../support/ApiTest.ts"

const moment = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const cursorOf = (text: string) => Buffer.from(text).toString("base64url")

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Clients", (it) => {
  it.effect("a client has the id that its operator chooses, once", () =>
    Effect.gen(function*() {
      const { operator } = yield* ApiTest
      const { created_at, ...client } = expectStatus(
        yield* operator.post("/api/clients", { id: "Acme:br-1._", name: "Acme 💥" }),
        201
      ).json
      assert.match(created_at, moment)
      assert.deepStrictEqual(client, { id: "Acme:br-1._", name: "Acme 💥", alert_email: null })
      const again = expectProblem(yield* operator.post("/api/clients", { id: "Acme:br-1._" }), 409, "already_exists")
      assert.include(again.json.detail, "Acme:br-1._")
      const { json } = expectStatus(yield* operator.post("/api/clients", { id: "acme:br-1._" }), 201)
      assert.deepInclude(json, { id: "acme:br-1._", name: null })
      const { data } = yield* Rows.read(operator, "/api/clients?limit=200")
      assert.deepInclude(data, { created_at, ...client }, "and the second wish changed nothing")
    }))

  it.effect("ids and names are checked", () =>
    Effect.gen(function*() {
      const { operator } = yield* ApiTest
      for (const id of ["", "-a", "a b", "é", "a/b", "x".repeat(65), "a\u0000"]) {
        const { json } = expectProblem(yield* operator.post("/api/clients", { id }), 422, "invalid_value")
        assert.strictEqual(json.errors[0].path, "id")
      }
      for (const name of ["", " a", "x".repeat(121), "a\u0000b", "\ud800"]) {
        const { json } = expectProblem(
          yield* operator.post("/api/clients", { id: "named", name }),
          422,
          "invalid_value"
        )
        assert.strictEqual(json.errors[0].path, "name")
      }
    }))

  it.effect("a client's name and its address for alerts are changed apart, and what was is on record", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const made = expectStatus(
        yield* operator.post("/api/clients", { id: "mailed", name: "Acme", alert_email: "ops@example.com" }),
        201
      ).json
      assert.deepInclude(made, { id: "mailed", name: "Acme", alert_email: "ops@example.com" })
      const patch = (body: object) =>
        Effect.map(operator.patch("/api/clients/mailed", body), (answer) => expectStatus(answer, 200).json)
      assert.deepStrictEqual(yield* patch({}), made)
      assert.deepStrictEqual(yield* patch({ name: "Acme 2" }), { ...made, name: "Acme 2" })
      const after = yield* patch({ alert_email: null })
      assert.deepStrictEqual(after, { ...made, name: "Acme 2", alert_email: null })
      assert.deepInclude((yield* Rows.read(operator, "/api/clients?limit=200")).data, after)
      const { data } = yield* Rows.read(operator, "/api/audit?resource_id=mailed&action=client.updated")
      assert.deepStrictEqual(
        data.toReversed().map(({ after, before }: { after: object; before: object }) => [before, after]),
        [[{ name: "Acme" }, { name: "Acme 2" }], [{ alert_email: "ops@example.com" }, { alert_email: null }]]
      )
      expectProblem(yield* operator.patch("/api/clients/nobody", { name: "x" }), 404, "client_not_found")
      const { client, id } = yield* newTenant
      expectProblem(yield* client.patch(`/api/clients/${id}`, { alert_email: "a@example.com" }), 403, "forbidden")
    }))

  it.effect("an address for alerts is one address", () =>
    Effect.gen(function*() {
      const { operator } = yield* ApiTest
      const make = (alert_email: string) =>
        operator.post("/api/clients", {
          id: `with-${Buffer.from(alert_email).toString("hex").slice(0, 40)}`,
          alert_email
        })
      for (const good of ["a@b", "o'neil+alerts@mail.example.com", `${"x".repeat(64)}@example.com`]) {
        assert.strictEqual(expectStatus(yield* make(good), 201).json.alert_email, good)
      }
      const wrong = [
        "",
        "a",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        "a@b,c@d",
        "a@b\r\nBcc: c@d",
        "A <a@b>",
        "\"a\"@b",
        "a@-b",
        "a@b..c",
        "a@[10.0.0.1]",
        "é@b",
        `${"x".repeat(65)}@b`,
        `a@${"b.".repeat(130)}c`
      ]
      for (const alert_email of wrong) {
        const { json } = expectProblem(yield* make(alert_email), 422, "invalid_value")
        assert.strictEqual(json.errors[0].path, "alert_email", alert_email)
      }
    }))

  it.effect("clients are listed page by page, each once, and so are keys", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { id } = yield* newTenant
      for (const path of ["/api/clients", `/api/clients/${id}/keys`]) {
        const all = yield* Rows.read(operator, `${path}?limit=200`)
        assert.isAbove(all.data.length, 2)
        const seen = []
        let cursor: string | null = ""
        while (cursor !== null) {
          const found: {
            readonly data: ReadonlyArray<object>
            readonly page: { readonly next_cursor: string | null }
          } = yield* Rows.read(operator, `${path}?limit=2${cursor && `&cursor=${cursor}`}`)
          seen.push(...found.data)
          cursor = found.page.next_cursor
        }
        assert.deepStrictEqual(seen, all.data)
        for (const wrong of ["", "%00", cursorOf("a\u0000"), cursorOf("a b")]) {
          expectProblem(yield* operator.get(`${path}?cursor=${wrong}`), 422, "cursor_invalid")
        }
      }
    }))

  it.effect("a key of each role works, for its own client", () =>
    Effect.gen(function*() {
      const { newTenant, operator, withToken } = yield* ApiTest
      const { id } = yield* newTenant
      for (const role of ["operator", "client", "publisher", "viewer"]) {
        const body = { role, name: "CI", expires_at: "2999-01-01T00:00:00Z" }
        const { created_at, id: keyId, token, ...key } = expectStatus(
          yield* operator.post(`/api/clients/${id}/keys`, body),
          201
        ).json
        assert.match(created_at, moment)
        assert.match(keyId, /^key_/)
        assert.strictEqual(token.split("_")[1], keyId.slice("key_".length))
        assert.match(token, /^dhw_[0-9a-z]{26}_[0-9a-f]{64}$/)
        const expires_at = "2999-01-01T00:00:00.000Z"
        assert.deepStrictEqual(key, { client_id: id, role, name: "CI", expires_at, revoked_at: null })
        const sender = withToken(token)
        if (role === "publisher") {
          const { event_id } = yield* Rows.publish(sender, "key.worked")
          assert.strictEqual((yield* Rows.read(operator, `/api/events/${event_id}`)).client_id, id)
        } else {
          yield* Rows.read(sender, "/api/webhooks")
        }
        if (role === "operator") yield* Rows.read(sender, "/api/clients")
      }
    }))

  it.effect("a list of keys tells no secret", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const tenant = yield* newTenant
      const { text } = yield* operator.get(`/api/clients/${tenant.id}/keys`)
      const { data } = JSON.parse(text)
      assert.sameMembers(data.map(({ role }: { role: string }) => role), ["client", "publisher", "viewer"])
      for (const key of data) {
        assert.hasAllKeys(key, ["id", "client_id", "role", "name", "created_at", "expires_at", "revoked_at"])
      }
      for (const { token } of [tenant.client, tenant.publisher, tenant.viewer]) {
        assert.notInclude(text, token?.slice(-64) ?? "")
      }
    }))

  it.effect("a revoked key is dead from then on, and stays in the list", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { client, id, viewer } = yield* newTenant
      const { data } = yield* Rows.read(operator, `/api/clients/${id}/keys`)
      const key = data.find(({ role }: { role: string }) => role === "client")
      yield* Rows.read(client, "/api/webhooks")
      const revoke = operator.del(`/api/clients/${id}/keys/${key.id}`)
      assert.deepInclude(yield* revoke, { status: 204, text: "" })
      expectProblem(yield* client.get("/api/webhooks"), 401, "unauthorized")
      const keys = Effect.map(Rows.read(operator, `/api/clients/${id}/keys`), (list) => list.data)
      const { revoked_at } = (yield* keys).find((other: { id: string }) => other.id === key.id)
      assert.match(revoked_at, moment)
      assert.strictEqual((yield* revoke).status, 204)
      assert.deepInclude(yield* keys, { ...key, revoked_at }, "revoking it again changes nothing")
      yield* Rows.read(viewer, "/api/webhooks")
    }))

  it.effect("a key past its time is dead", () =>
    Effect.gen(function*() {
      const { a, operator, withToken } = yield* ApiTest
      const issue = (expires_at: string) =>
        Effect.map(operator.post(`/api/clients/${a.id}/keys`, { role: "viewer", expires_at }), (answer) =>
          withToken(expectStatus(answer, 201).json.token))
      expectProblem(yield* (yield* issue("2020-01-01T00:00:00Z")).get("/api/webhooks"), 401, "unauthorized")
      expectStatus(yield* (yield* issue("9999-12-31T23:59:59Z")).get("/api/webhooks"), 200)
      const far = yield* operator.post(`/api/clients/${a.id}/keys`, {
        role: "viewer",
        expires_at: "-271821-04-20T00:00:00Z"
      })
      assert.strictEqual(expectProblem(far, 422, "invalid_value").json.errors[0].path, "expires_at")
    }))

  it.effect("a key is revoked under its own client only", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const [mine, other] = [yield* newTenant, yield* newTenant]
      const { data: [key] } = yield* Rows.read(operator, `/api/clients/${mine.id}/keys`)
      expectProblem(yield* operator.del(`/api/clients/${other.id}/keys/${key.id}`), 404, "api_key_not_found")
      for (const { role } of [{ role: "client" }, { role: "viewer" }] as const) {
        expectStatus(yield* mine[role].get("/api/webhooks"), 200)
      }
      expectProblem(yield* operator.post("/api/clients/nobody/keys", { role: "viewer" }), 404, "client_not_found")
      expectProblem(yield* operator.get("/api/clients/nobody/keys"), 404, "client_not_found")
      expectProblem(yield* operator.post(`/api/clients/${mine.id}/keys`, { role: "admin" }), 422, "invalid_value")
    }))
})
