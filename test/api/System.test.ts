import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { toUuid } from "../../src/domain/Ids.ts"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api } from "../support/ApiTest.ts"
import { eventually } from "../support/Eventually.ts"

/** What a browser would fetch for a page, by its markup, its styles and its scripts. */
const loadedBy = (html: string): ReadonlyArray<string> => {
  const all = (text: string, pattern: RegExp) => Array.from(text.matchAll(pattern), ([, url = ""]) => url)
  const markup = html.replaceAll(/(<(script|style)\b[^>]*>)[\s\S]*?<\/\2>/g, "$1")
  const inside = (element: string) =>
    all(html, new RegExp(`<${element}\\b[^>]*>([\\s\\S]*?)</${element}>`, "g")).join("\n")
  return [
    ...all(markup, /\s(?:src|srcset|href|data|action)\s*=\s*["']?([^"'\s>]+)/g),
    ...all(inside("style"), /(?:@import\s+|\burl\(\s*)["']?([^"')\s]+)/g),
    ...all(inside("script"), /\b(?:import|importScripts)\(\s*["'`]([^"'`]+)/g)
  ]
}

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("System", (it) => {
  it.effect("an operator sees every actor running, and the queue", () =>
    Effect.gen(function*() {
      const { a, operator } = yield* ApiTest
      const system = yield* Rows.read(operator, "/api/system")
      assert.hasAllKeys(system, [
        "node",
        "supervisor",
        "actors",
        "queue_depth",
        "in_flight",
        "leases",
        "waiting",
        "held",
        "held_by",
        "oldest_due_age_seconds",
        "webhooks",
        "partitions",
        "database",
        "versions"
      ])
      assert.deepStrictEqual(system.supervisor, { strategy: "one_for_one", restarts_max: 10, within_seconds: 60 })
      assert.strictEqual(system.node.pid, process.pid)
      assert.isAtMost(Date.parse(system.node.started_at), Date.now())
      assert.isAbove(system.node.uptime_seconds, 0)
      assert.isAtLeast(system.partitions.days, 16)
      assert.isAbove(Date.parse(system.partitions.newest), Date.now())
      assert.isBelow(Date.parse(system.partitions.oldest), Date.now())
      assert.isAbove(system.database.size_bytes, 1_000_000)
      assert.strictEqual(system.database.version, system.versions.postgres)
      const names = system.actors.map(({ name }: { name: string }) => name)
      assert.includeMembers(names, [
        "ChangeListener",
        "CleanupWorker",
        "Dispatcher",
        "EventListener",
        "LeaseKeeper",
        "OutcomeRecorder",
        "Sampler",
        "Scheduler",
        "Wakeups"
      ])
      for (const { name, since, ...actor } of system.actors) {
        assert.deepStrictEqual(actor, { state: "running", restarts: 0, recent_restarts: 0, last_crash: null }, name)
        assert.isNotNaN(Date.parse(since))
      }
      assert.strictEqual(system.versions.node, process.version)
      assert.match(system.versions.postgres, /^\d+/)
      assert.match(system.versions.service, /^\d+\.\d+\.\d+/)
      for (const sender of [a.client, a.publisher, a.viewer]) {
        expectProblem(yield* sender.get("/api/system"), 403, "forbidden")
      }
    }))

  it.effect("what waits and what is held is counted", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { client } = yield* newTenant
      const before = yield* Rows.read(operator, "/api/system")
      assert.strictEqual(before.held, 0)
      yield* Effect.scoped(Effect.gen(function*() {
        const receiver = yield* Rows.receiver({ status: 410 })
        yield* Rows.register(client, { url: receiver.url() })
        yield* Rows.deliver(client, "deal.won")
      }))
      yield* Rows.publish(client, "deal.won")
      yield* Rows.publish(client, "deal.won")
      const after = yield* Rows.read(operator, "/api/system")
      assert.strictEqual(after.held, 2)
      assert.deepStrictEqual(after.held_by, { circuit: 0, deactivated: 2 })
    }))

  it.effect("webhooks are counted, by the state of their circuits and by why they are off", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { client } = yield* newTenant
      const sql = yield* SqlClient.SqlClient
      const { webhooks: before } = yield* Rows.read(operator, "/api/system")
      const [open, half, off] = yield* Effect.replicateEffect(Rows.register(client), 4)
      yield* sql`UPDATE webhooks SET circuit = 'open', circuit_until = now() + interval '1 day' WHERE id = ${
        toUuid(open.id)
      }`
      yield* sql`UPDATE webhooks SET circuit = 'half_open', circuit_until = now() WHERE id = ${toUuid(half.id)}`
      yield* client.patch(`/api/webhooks/${off.id}`, { is_active: false })
      assert.deepStrictEqual((yield* Rows.read(operator, "/api/system")).webhooks, {
        registered: before.registered + 4,
        circuits: { closed: before.circuits.closed + 2, open: 1, half_open: 1 },
        deactivated: { ...before.deactivated, owner: before.deactivated.owner + 1 }
      })
      yield* client.del(`/api/webhooks/${open.id}`)
      const { webhooks } = yield* Rows.read(operator, "/api/system")
      assert.deepStrictEqual([webhooks.registered, webhooks.circuits.open], [before.registered + 3, 0])
    }))

  it.effect("what the database alone can tell stands among the metrics", () =>
    Effect.gen(function*() {
      const { nobody } = yield* ApiTest
      const { text } = yield* eventually(nobody.get("/metrics"), ({ text }) => /registered_count/.test(text))
      for (const line of ["registered_count", "queue_oldest_due_age_seconds", "deliveries_held"]) {
        assert.match(text, new RegExp(`^deeper_hub_webhooks_${line}(\\{.*\\})? \\d`, "m"))
      }
      assert.match(text, /^deeper_hub_webhooks_deliveries_held\{.*hold="circuit".*\} \d/m)
    }))

  it.effect("probes and metrics need no key", () =>
    Effect.gen(function*() {
      const { a, nobody } = yield* ApiTest
      for (const path of ["/healthz", "/readyz"]) {
        assert.deepStrictEqual(yield* Rows.read(nobody, path), { status: "ok" })
      }
      yield* Rows.publish(a.client, "metrics.seen")
      const { headers, text } = expectStatus(yield* nobody.get("/metrics"), 200)
      assert.strictEqual(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
      assert.match(text, /^# TYPE \S+ (counter|gauge|histogram)$/m)
      for (const line of text.trimEnd().split("\n")) {
        assert.match(line, /^(# .*|[a-zA-Z_:][\w:]*(\{.*\})? \S+)$/)
      }
    }))

  it.effect("the page of the document loads nothing from elsewhere", () =>
    Effect.gen(function*() {
      const { nobody } = yield* ApiTest
      const { headers, text } = expectStatus(yield* nobody.get("/docs"), 200)
      assert.match(headers["content-type"] ?? "", /^text\/html/)
      assert.isEmpty(loadedBy(text).filter((url) => !/^(data:|#|\/(?!\/)|\.\/)/.test(url)))
      const outside = `<link href="//a/"><img src=b><script src='c'></script><style>@import "d"; x{y:url(e)}</style>
        <script>import("f")</script>`
      assert.deepStrictEqual(loadedBy(outside), ["//a/", "b", "c", "d", "e", "f"])
    }))

  it.effect("the page of the document may run its own scripts and nothing else", () =>
    Effect.gen(function*() {
      const { nobody } = yield* ApiTest
      const { headers, text } = expectStatus(yield* nobody.get("/docs"), 200)
      const policy = Object.fromEntries(
        (headers["content-security-policy"] ?? "").split("; ").map((directive) => {
          const [name = "", ...sources] = directive.split(" ")
          return [name, sources]
        })
      )
      const scripts = Array.from(text.matchAll(/<script>([^]*?)<\/script>/g), ([, script = ""]) =>
        `'sha256-${createHash("sha256").update(script).digest("base64")}'`)
      assert.isNotEmpty(scripts)
      assert.deepStrictEqual(policy, {
        "default-src": ["'none'"],
        "script-src": scripts,
        "style-src": ["'unsafe-inline'"],
        "img-src": ["data:"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"]
      })
      // Scripts in attributes have no hash: there must be none.
      assert.notMatch(text.replaceAll(/<script\b[^]*?<\/script>/g, ""), /<[^>]+\son[a-z]+\s*=/)
    }))

  it.effect("every answer is for the one who asked, and is what it says it is", () =>
    Effect.gen(function*() {
      const { a, nobody } = yield* ApiTest
      // That nosniff and no-store stand on each is checked when it comes: here is one of each kind.
      const kinds = yield* Effect.all([
        nobody.get("/healthz"),
        nobody.get("/metrics"),
        nobody.get("/openapi.json"),
        nobody.get("/docs"),
        nobody.get("/nothing"),
        nobody.get("/api/webhooks"),
        a.viewer.get("/api/webhooks"),
        a.viewer.get("/api/event-types"),
        a.viewer.get("/api/system"),
        a.client.post("/api/events", "{"),
        a.client.post("/api/events", "{}"),
        nobody.send({ method: "HEAD", path: "/healthz" })
      ])
      assert.deepStrictEqual(kinds.map(({ status }) => status), [
        200,
        200,
        200,
        200,
        404,
        401,
        200,
        200,
        403,
        400,
        422,
        200
      ])
      assert.deepStrictEqual(kinds.map(({ headers }) => headers["www-authenticate"] ?? ""), [
        "",
        "",
        "",
        "",
        "",
        "Bearer",
        "",
        "",
        "",
        "",
        "",
        ""
      ])
    }))
})
