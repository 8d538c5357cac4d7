/** Two nodes on one database: what one of them takes in and does not send itself, the other one sends. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Fiber, Layer, Queue, Schedule, Stream } from "effect"
import * as App from "../../src/App.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { Webhooks } from "../../src/service/Webhooks.ts"
import { Signals } from "../../src/telemetry/Signals.ts"
import { eventually, soon } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"

/** The nodes end before their database does. */
const onDatabase = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(Effect.scoped, Effect.provide(PgTest.layer))

const node = (settings: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const environment = {
      DATABASE_URL: yield* PgTest.url,
      LOG_LEVEL: "OFF",
      WEBHOOKS_ENCRYPTION_KEYS: `k1:${Buffer.alloc(32, 7).toString("base64")}`,
      WEBHOOKS_ALLOWED_URL_SCHEMES: "http",
      WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL: "127.0.0.1/32",
      ...settings
    }
    const provider = ConfigProvider.fromMap(new Map(Object.entries(environment)), { pathDelim: "_" })
    return yield* Layer.build(App.layerEmbedded.pipe(Layer.provide(Layer.setConfigProvider(provider))))
  })

const listeners = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  sql<{ readonly pid: number }>`
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'deeper-hub-webhooks/listener'
      AND state = 'idle' AND query <> ''`)

/** One that takes events in and sends none, and one that sends; both are listening. */
const twoNodes = (pollMs: number) =>
  Effect.gen(function*() {
    const publishing = yield* node({ WEBHOOKS_ENABLED: "false" })
    const sending = yield* node({ WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS: String(pollMs) })
    yield* eventually(listeners, (rows) => rows.length === 2)
    return { webhooks: Context.get(publishing, Webhooks), sending }
  })

/** Publishes some events, one when the other one has arrived. */
const publishSome = (webhooks: Webhooks["Type"], receiver: ScriptedReceiver.ScriptedReceiver, count: number) =>
  Effect.forEach(Array.from({ length: count }, (_, n) => n), (n) =>
    Effect.gen(function*() {
      yield* webhooks.triggerEvent("acme", { eventType: "deal.won", payload: { n } })
      // Far less than from one of the slow polls to the next.
      const { text } = yield* Queue.take(receiver.requests).pipe(Effect.timeout("20 seconds"))
      assert.include(text, `"n": ${n}`)
    }), { discard: true })

it.live("a node sends at once what another one took in, long before its next poll", () =>
  Effect.gen(function*() {
    const { webhooks } = yield* twoNodes(60_000)
    const receiver = yield* ScriptedReceiver.make()
    yield* webhooks.registerWebhook("acme", receiver.url().href, ["deal.*"])
    yield* publishSome(webhooks, receiver, 5)
  }).pipe(onDatabase), 60_000)

it.live("a node sends at once what is for more webhooks than a notification names", () =>
  Effect.gen(function*() {
    const { webhooks } = yield* twoNodes(60_000)
    const receiver = yield* ScriptedReceiver.make()
    const register = webhooks.registerWebhook("acme", receiver.url().href, ["deal.*"])
    yield* Effect.replicateEffect(register, 250, { concurrency: 8 })
    yield* webhooks.triggerEvent("acme", { eventType: "deal.won", payload: {} })
    yield* Queue.takeN(receiver.requests, 250).pipe(Effect.timeout("40 seconds"))
  }).pipe(onDatabase), 90_000)

/** Ends every connection that listens, as soon as it is there. */
const deafen = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.repeat(
    sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'deeper-hub-webhooks/listener'`,
    Schedule.spaced("5 millis")
  ))

it.live(
  "H71 a lost LISTEN connection: polling delivers, and the node listens again",
  () =>
    Effect.gen(function*() {
      const { sending, webhooks } = yield* twoNodes(1_000)
      const receiver = yield* ScriptedReceiver.make()
      const { webhook } = yield* webhooks.registerWebhook("acme", receiver.url().href, ["deal.*"])
      const before = yield* listeners
      const deafening = yield* Effect.fork(deafen)
      yield* eventually(listeners, (rows) => rows.length === 0)
      yield* publishSome(webhooks, receiver, 3)
      yield* Fiber.interrupt(deafening)

      const after = yield* eventually(listeners, (rows) => rows.length === 2)
      const old = new Set(before.map(({ pid }) => pid))
      assert.isFalse(after.some(({ pid }) => old.has(pid)))
      const heard = yield* Stream.fromPubSub(Context.get(sending, Signals), { scoped: true })
      const announced = yield* heard.pipe(
        Stream.filter((signal) => signal._tag === "WorkAnnounced" && signal.webhookIds.includes(webhook.id)),
        Stream.runHead,
        Effect.fork
      )
      yield* publishSome(webhooks, receiver, 1)
      yield* soon(Fiber.join(announced))
      const actors = yield* Context.get(sending, Supervisor).actors
      assert.deepInclude(actors.find(({ name }) => name === "Wakeups"), { state: "running", restarts: 0 })
    }).pipe(onDatabase),
  120_000
)
