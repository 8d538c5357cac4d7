/** A program that embeds the whole service and knows nothing of it but `src/index.ts`. */
import { SqlClient } from "@effect/sql"
import { assert, layer, vi } from "@effect/vitest"
import { Chunk, ConfigProvider, Effect, Fiber, Layer, Option, Queue, Redacted, Stream } from "effect"
import { EventBus, layerEmbedded, Supervisor, Webhooks } from "../../src/index.ts"
import * as EmbeddedService from "../support/EmbeddedService.ts"
import { eventually, soon } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"

vi.setConfig({ testTimeout: 120_000 })

const embedding = Layer.unwrapScoped(Effect.gen(function*() {
  const settings = new Map([
    ["DATABASE_URL", yield* PgTest.url],
    ["LOG_LEVEL", "Fatal"],
    ["WEBHOOKS_DATA_DIRECTORY", yield* EmbeddedService.directory()],
    ["WEBHOOKS_ALLOWED_URL_SCHEMES", "http,https"],
    ["WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL", "127.0.0.0/8"],
    ["WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS", "50"]
  ])
  return Layer.provide(layerEmbedded, Layer.setConfigProvider(ConfigProvider.fromMap(settings)))
})).pipe(Layer.provideMerge(PgTest.layer))

/** Fails unless the effect is refused, and answers how. */
const refusal = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.flip(Effect.asVoid(self))

const eventsOf = (type: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT FROM events WHERE event_type = ${type}`)

layer(embedding, { timeout: "120 seconds", excludeTestServices: true })("an embedding program", (it) => {
  it.scoped("registers, publishes, and reads what became of it", () =>
    Effect.gen(function*() {
      const webhooks = yield* Webhooks
      const receiver = yield* ScriptedReceiver.make()
      const { secret, webhook } = yield* webhooks.registerWebhook("acme", receiver.url().href, ["deal.*"], {
        name: "CRM",
        customHeaders: { "X-Custom-Header": "valor" },
        retryCount: 3
      })
      assert.match(Redacted.value(secret), /^whsec_/)
      assert.strictEqual(webhook.clientId, "acme")
      assert.deepInclude(webhook, { name: "CRM", retryCount: 3, headerNames: ["X-Custom-Header"] })

      const { deliveries, eventId } = yield* webhooks.triggerEvent("acme", {
        eventType: "deal.won",
        payload: { value: 9_007_199_254_740_993n, nested: { list: [1.5, null, "é"] } }
      })
      const request = yield* soon(Queue.take(receiver.requests))
      assert.include(request.text, `"data": {"nested": {"list": [1.5, null, "\\u00e9"]}, "value": 9007199254740993}`)
      assert.strictEqual(request.headers["x-custom-header"], "valor")
      const [delivery] = deliveries
      assert(delivery)
      const details = Option.getOrThrow(
        yield* eventually(
          webhooks.getWebhookEventDetails(delivery.id, "acme"),
          Option.exists(({ status }) => status === "delivered")
        )
      )
      assert.deepInclude(details, { eventId, attemptCount: 1, webhookId: webhook.id })
      assert.lengthOf(details.attempts, 1)
      const history = yield* webhooks.listWebhookEvents(webhook.id, "acme", { status: "delivered" })
      assert.deepStrictEqual(history.data.map(({ id }) => id), [delivery.id])
      assert.lengthOf((yield* webhooks.listWebhookEvents(webhook.id, "acme", { status: "pending" })).data, 0)
    }))

  it.scoped("changes, lists and deletes webhooks", () =>
    Effect.gen(function*() {
      const webhooks = yield* Webhooks
      const registered = yield* webhooks.registerWebhook("globex", "http://127.0.0.1:8080/", ["lead.*"])
      const rotated = yield* webhooks.rotateWebhookSecret(registered.webhook.id, "globex", { overlapSeconds: 60 })
      assert.notStrictEqual(Redacted.value(rotated.secret), Redacted.value(registered.secret))
      assert.isNotNull(rotated.webhook.previousSecretExpiresAt)
      const { webhook } = rotated
      const changed = yield* webhooks.updateWebhook(webhook.id, "globex", { name: "Leads", isActive: false })
      assert.deepInclude(changed, { name: "Leads", isActive: false, deactivationReason: "owner" })
      assert.deepStrictEqual(Option.getOrThrow(yield* webhooks.getWebhook(webhook.id, "globex")), changed)
      const ids = (filters: Parameters<typeof webhooks.listWebhooksForClient>[1]) =>
        Effect.map(webhooks.listWebhooksForClient("globex", filters), ({ data }) => data.map(({ id }) => id))
      assert.deepStrictEqual(yield* ids({}), [webhook.id])
      assert.deepStrictEqual(yield* ids({ isActive: true }), [])
      assert.deepStrictEqual(yield* ids({ eventType: "lead.created" }), [webhook.id])
      assert.deepStrictEqual(yield* ids({ eventType: "deal.won" }), [])
      yield* webhooks.deleteWebhook(webhook.id, "globex")
      assert.isTrue(Option.isNone(yield* webhooks.getWebhook(webhook.id, "globex")))
      assert.strictEqual((yield* refusal(webhooks.deleteWebhook(webhook.id, "globex")))._tag, "NotFound")
    }))

  it.scoped("tries a webhook out: health, test event, sending again", () =>
    Effect.gen(function*() {
      const webhooks = yield* Webhooks
      const receiver = yield* ScriptedReceiver.make([{ status: 200 }, { status: 503 }, { status: 400 }, {
        status: 200
      }])
      const { webhook } = yield* webhooks.registerWebhook("initech", receiver.url().href, ["user.created"])
      assert.strictEqual((yield* webhooks.checkWebhookHealth(webhook.id, "initech")).status, "healthy")
      assert.strictEqual((yield* webhooks.checkWebhookHealth(webhook.id, "initech")).status, "unhealthy")
      assert.deepStrictEqual(
        receiver.received.map(({ headers }) => headers["x-event-type"]),
        ["webhook.ping", "webhook.ping"]
      )

      const { deliveries: [delivery] } = yield* webhooks.triggerTestEvent(webhook.id, "initech", "deal.won", { n: 1 })
      assert(delivery)
      const status = (wanted: string) =>
        eventually(
          webhooks.getWebhookEventDetails(delivery.id, "initech"),
          Option.exists((details) => details.status === wanted)
        )
      yield* status("failed_permanent")
      assert.strictEqual(receiver.received[2]?.headers["x-event-type"], "deal.won", "whatever it subscribes to")
      assert.strictEqual(yield* webhooks.resendWebhookEvent(delivery.id, "initech"), "enqueued")
      yield* status("delivered")
      assert.strictEqual(receiver.received[3]?.headers["x-delivery-id"], delivery.id)
    }))

  it.scoped("what the HTTP API would refuse is refused", () =>
    Effect.gen(function*() {
      const webhooks = yield* Webhooks
      const register = (url: string, events: ReadonlyArray<string>, client = "acme") =>
        refusal(webhooks.registerWebhook(client, url, events))
      assert.deepInclude(yield* register("http://10.0.0.1/", ["*"]), { _tag: "Invalid", code: "url_forbidden_address" })
      assert.strictEqual((yield* register("http://127.0.0.1:8080/", []))._tag, "Invalid")
      assert.strictEqual((yield* register("http://127.0.0.1:8080/", ["*"], "no spaces"))._tag, "Invalid")
      const reserved = webhooks.triggerEvent("acme", { eventType: "webhook.ping", payload: {} })
      assert.deepInclude(yield* refusal(reserved), { _tag: "Invalid", code: "event_type_reserved" })
      const once = (n: number) =>
        webhooks.triggerEvent("acme", { eventType: "lead.lost", payload: { n }, idempotencyKey: "once" })
      const { eventId } = yield* once(1)
      assert.strictEqual((yield* once(1)).eventId, eventId)
      assert.deepInclude(yield* refusal(once(2)), { _tag: "Conflict", code: "idempotency_key_reused" })
    }))

  it.scoped("K79 another client's webhook or delivery is as unknown as one that never was", () =>
    Effect.gen(function*() {
      const webhooks = yield* Webhooks
      const receiver = yield* ScriptedReceiver.make()
      const { webhook } = yield* webhooks.registerWebhook("owner", receiver.url().href, ["proposal.sent"])
      yield* webhooks.registerWebhook("stranger", receiver.url("/other").href, ["lead.won"])
      const { deliveries: [delivery] } = yield* webhooks.triggerEvent("owner", {
        eventType: "proposal.sent",
        payload: {}
      })
      assert(delivery)
      const unknown = "00000000000000000000000000"
      for (const id of [webhook.id, `whk_${unknown}`]) {
        assert.isTrue(Option.isNone(yield* webhooks.getWebhook(id, "stranger")))
        for (
          const asked of [
            webhooks.updateWebhook(id, "stranger", { name: "mine" }),
            webhooks.rotateWebhookSecret(id, "stranger"),
            webhooks.deleteWebhook(id, "stranger"),
            webhooks.listWebhookEvents(id, "stranger"),
            webhooks.checkWebhookHealth(id, "stranger"),
            webhooks.triggerTestEvent(id, "stranger")
          ]
        ) assert.deepInclude(yield* refusal(asked), { _tag: "NotFound", id })
      }
      for (const id of [delivery.id, `dlv_${unknown}`]) {
        assert.isTrue(Option.isNone(yield* webhooks.getWebhookEventDetails(id, "stranger")))
        assert.deepInclude(yield* refusal(webhooks.resendWebhookEvent(id, "stranger")), { _tag: "NotFound", id })
      }
      const mine = yield* webhooks.listWebhooksForClient("stranger")
      assert.notInclude(mine.data.map(({ id }) => id), webhook.id)
      assert.isTrue(Option.isSome(yield* webhooks.getWebhook(webhook.id, "owner")), "nothing happened to it")
    }))

  it.scoped("publishing on the bus answers after the commit, and subscribers see the event after it", () =>
    Effect.gen(function*() {
      const bus = yield* EventBus
      const won = "bus.deal.won"
      const seen = yield* Queue.unbounded<{ readonly type: string; readonly rows: number }>()
      const subscriber = yield* Effect.forkScoped(Stream.runForEach(
        bus.subscribe("bus.*"),
        ({ eventType }) =>
          Effect.flatMap(eventsOf(eventType), (rows) => seen.offer({ type: eventType, rows: rows.length }))
      ))
      const exact = yield* Effect.forkScoped(Stream.runCollect(Stream.take(bus.subscribe(won), 2)))
      // Whether the subscribers listen yet only an event can tell.
      const probe = bus.publish("bus.probe", {})
      yield* eventually(Effect.zipRight(probe, Queue.poll(seen)), Option.isSome)

      const published = yield* bus.publish(won, { n: 1 })
      assert.lengthOf(yield* eventsOf(won), 1, "committed before the publisher goes on")
      yield* eventually(Queue.take(seen), ({ type }) => type === won)
      yield* bus.publish("other.deal.won", {})
      yield* bus.publish(won, { n: 2 })
      const events = Chunk.toReadonlyArray(yield* soon(Fiber.join(exact)))
      assert.deepStrictEqual(events.map(({ eventType, payload }) => [eventType, payload["n"]]), [[won, 1], [won, 2]])
      assert.deepStrictEqual(events[0]?.published, published)
      const next = yield* soon(Queue.take(seen))
      assert.deepInclude(next, { type: won }, "a prefix takes in what is below it, and nothing else")
      assert.isAtLeast(next.rows, 1, "whoever hears of an event finds its row")
      yield* Fiber.interrupt(subscriber)
    }))

  it.scoped("a publisher on the bus hears of a refusal, and a key is good for one event", () =>
    Effect.gen(function*() {
      const bus = yield* EventBus
      const reserved = bus.publish("webhook.deactivated", {})
      assert.deepInclude(yield* refusal(reserved), { _tag: "Invalid", code: "event_type_reserved" })
      const large = bus.publish("bus.large", { x: "x".repeat(300_000) })
      assert.strictEqual((yield* refusal(large))._tag, "TooLarge")
      assert.lengthOf(yield* eventsOf("bus.large"), 0)
      const once = bus.publish("bus.once", {}, { idempotencyKey: "k" })
      assert.deepStrictEqual(yield* once, yield* once)
      assert.lengthOf(yield* eventsOf("bus.once"), 1)
    }))

  it.scoped("the program can watch over the actors", () =>
    Effect.gen(function*() {
      const actors = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
      assert.includeMembers(actors.map(({ name }) => name), ["Dispatcher", "EventListener", "OutcomeRecorder"])
      assert.isTrue(actors.every(({ restarts, state }) => state === "running" && restarts === 0))
    }))
})
