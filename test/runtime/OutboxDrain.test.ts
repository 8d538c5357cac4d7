import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { type Context, Effect, Layer, Logger, PubSub, Ref } from "effect"
import { EventStore } from "../../src/persistence/EventStore.ts"
import { Outbox } from "../../src/persistence/Outbox.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import * as EventListener from "../../src/runtime/EventListener.ts"
import * as GroupCommit from "../../src/runtime/GroupCommit.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { EventBusPort } from "../../src/service/EventBus.ts"
import * as Intake from "../../src/service/Intake.ts"
import { WebhookService } from "../../src/service/WebhookService.ts"
import { Signal, Signals } from "../../src/telemetry/Signals.ts"
import { eventually } from "../support/Eventually.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

type Service = Context.Tag.Service<WebhookService>

const payloadBytesMax = 1_000

/** The real intake, without what an outbox has no use for. */
const service = (change: (intake: Intake.Intake) => Partial<Service> = (intake) => intake) =>
  Layer.unwrapEffect(
    Effect.map(Intake.make({ payloadBytesMax }), (intake) => Layer.mock(WebhookService, change(intake)))
  ).pipe(Layer.provide(GroupCommit.layerUnsent), Layer.provide(Supervisor.layer))

const listener = (
  services: ReturnType<typeof service> = service(),
  pollInterval: "20 millis" | "1 hour" = "20 millis"
) =>
  EventListener.layer({ concurrency: 1, pollInterval }).pipe(
    Layer.provide(services),
    Layer.provide(EventBusPort.layer),
    Layer.provideMerge(Supervisor.layer),
    Layer.provideMerge(Signals.layer),
    Layer.provide(Logger.remove(Logger.defaultLogger))
  )

const put = (client: string, row: { readonly type?: string; readonly payload?: string; readonly at?: string } = {}) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql`
      INSERT INTO outbox (client_id, event_type, payload, occurred_at)
      VALUES (${client}, ${row.type ?? "deal.won"}, ${row.payload ?? "{}"}, ${row.at ?? "2025-02-20T09:34:00Z"})
      RETURNING id
    `.pipe(Effect.map(([inserted]) => String(inserted?.["id"]))))

const left = (client: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql<{ id: string; refusal: string | null; attempts: number }>`
      SELECT id, refusal, attempts FROM outbox WHERE client_id = ${client} ORDER BY id`)

const makeDue = (client: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`UPDATE outbox SET due_at = now() WHERE client_id = ${client}`)

const events = (client: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql<{ eventType: string; body: string }>`
        SELECT event_type, body FROM events WHERE client_id = ${client} ORDER BY id`,
      (rows) => rows.map(({ body, eventType }) => ({ eventType, ...JSON.parse(body) }))
    ))

const gone = (client: string) => eventually(left(client), (rows) => rows.length === 0)

layer(Stores.layer, Stores.options)("the outbox", (it) => {
  it.scoped("is published as if over the API, and empty then", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("published")
      const webhook = yield* Rows.makeWebhook(client, ["deal.*"])
      yield* put(client, { payload: `{"value": 1000.00, "api_key": "x", "nested": [{"Senha": "y"}]}` })
      yield* gone(client).pipe(Effect.provide(listener()))
      const [event, ...others] = yield* events(client)
      assert.isEmpty(others)
      assert.deepInclude(event, { eventType: "deal.won", created_at: "2025-02-20T09:34:00.000Z" })
      assert.deepStrictEqual(event?.["data"], {
        value: 1_000,
        api_key: "[REDACTED]",
        nested: [{ Senha: "[REDACTED]" }]
      })
      const sql = yield* SqlClient.SqlClient
      const deliveries = yield* sql`SELECT webhook_id FROM deliveries WHERE client_id = ${client}`
      assert.lengthOf(deliveries, 1)
      assert.isNotEmpty(webhook.id)
    }))

  it.scoped("is looked into at once when this process put something there", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("at-once")
      yield* Effect.gen(function*() {
        const signals = yield* Signals
        for (let n = 0; n < 3; n++) {
          yield* put(client)
          yield* PubSub.publish(signals, Signal.OutboxFilled())
          yield* gone(client)
        }
      }).pipe(Effect.provide(listener(service(), "1 hour")))
      assert.lengthOf(yield* events(client), 3)
    }))

  it.scoped("sets aside what is no event, says why, and goes on with the rest", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("refused")
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO clients (id) VALUES ('no client id')`
      const bad = [
        ["json_syntax", { payload: "{" }],
        ["json_duplicate_key", { payload: `{"a": 1, "a": 2}` }],
        ["json_depth", { payload: `{"a": ${"[".repeat(101)}${"]".repeat(101)}}` }],
        ["invalid_value: payload", { payload: "[]" }],
        ["invalid_value: payload", { payload: "null" }],
        ["payload_too_large", { payload: `{"a": "${"x".repeat(payloadBytesMax)}"}` }],
        ["payload_too_large", { payload: `{"a": "${"x".repeat(100_000)}"}` }],
        ["invalid_value: event_type", { type: "deal won" }],
        ["event_type_reserved", { type: "webhook.deactivated" }],
        ["event_type_reserved", { type: "alert.raised" }],
        ["invalid_value: occurred_at", { at: "infinity" }],
        ["invalid_value: occurred_at", { at: "10000-01-01" }],
        ["invalid_value: occurred_at", { at: "0002-12-31 BC" }]
      ] as const
      const reasons = new Map<string, string>()
      for (const [reason, row] of bad) {
        reasons.set(yield* put(client, row), reason)
        yield* put(client)
      }
      yield* put("no client id")
      const logged = new Array<unknown>()
      const logger = Logger.make(({ annotations, message }) => {
        if (String(message).includes("set aside")) logged.push(Object.fromEntries(annotations)["outboxId"])
      })
      yield* eventually(
        Effect.all([left(client), left("no client id")]),
        ([rows, others]) => rows.length === bad.length && others[0]?.refusal !== null
      ).pipe(Effect.provide(Layer.provideMerge(listener(), Logger.add(logger))))
      for (const { id, refusal } of yield* left(client)) assert.include(refusal, reasons.get(id) ?? "unknown")
      assert.lengthOf(yield* events(client), bad.length)
      assert.includeMembers(logged, Array.from(reasons.keys()))

      yield* sql`UPDATE outbox SET payload = '{}', event_type = 'deal.mended', occurred_at = now(), refusal = NULL,
        due_at = now() WHERE client_id = ${client}`
      yield* gone(client).pipe(Effect.provide(listener()))
      assert.lengthOf((yield* events(client)).filter(({ eventType }) => eventType === "deal.mended"), bad.length)
    }))

  it.scoped("keeps what could not be published now for later", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("later")
      yield* put(client)
      const away = yield* Ref.make(true)
      const store = yield* EventStore
      const unreliable = Layer.succeed(EventStore, {
        ...store,
        publish: (requests, lease) =>
          Effect.flatMap(Ref.getAndSet(away, false), (fails) =>
            fails
              ? Effect.fail(new PersistenceError({ operation: "EventStore.publish", cause: "away" }))
              : store.publish(requests, lease))
      })
      yield* Effect.gen(function*() {
        yield* eventually(Ref.get(away), (fails) => !fails)
        const [row] = yield* left(client)
        assert.deepInclude(row, { refusal: null, attempts: 1 })
        yield* makeDue(client)
        yield* gone(client)
      }).pipe(Effect.provide(listener(service().pipe(Layer.provide(unreliable)))))
      assert.lengthOf(yield* events(client), 1)
    }))

  it.scoped("publishes nothing twice, though a node ended between publishing a row and deleting it", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("once")
      yield* put(client, { payload: `{"n": 1}` })
      const outbox = yield* Outbox
      const ended = Layer.succeed(Outbox, { ...outbox, remove: () => Effect.void })
      yield* eventually(events(client), (all) => all.length === 1).pipe(
        Effect.provide(listener().pipe(Layer.provide(ended)))
      )
      assert.lengthOf(yield* left(client), 1)
      yield* makeDue(client)
      yield* gone(client).pipe(Effect.provide(listener()))
      assert.lengthOf(yield* events(client), 1)
    }))

  it.scoped("is shared by nodes: each row becomes one event", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("nodes")
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        INSERT INTO outbox (client_id, event_type, payload)
        SELECT ${client}, 'deal.won', jsonb_build_object('n', n)::text FROM generate_series(1, 250) AS n`
      const node = Layer.fresh(listener())
      yield* gone(client).pipe(Effect.provide(Layer.mergeAll(node, Layer.fresh(node))))
      const published = (yield* events(client)).map(({ data }) => data.n)
      assert.deepStrictEqual(published.toSorted((a, b) => a - b), Array.from({ length: 250 }, (_, i) => i + 1))
    }))

  it.scoped("a bug met at one row crashes the listener, visibly, and keeps no other row from its way", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("bug")
      const poison = yield* put(client, { type: "deal.poison" })
      for (let n = 0; n < 5; n++) yield* put(client)
      const buggy = service((intake) => ({
        ...intake,
        publish: (caller, event, key) =>
          event.eventType === "deal.poison" ? Effect.dieMessage("a bug") : intake.publish(caller, event, key)
      }))
      yield* Effect.gen(function*() {
        yield* eventually(left(client), (rows) => rows.length === 1)
        const supervisor = yield* Supervisor
        const actors = yield* eventually(supervisor.actors, (all) => all.some(({ restarts }) => restarts === 1))
        assert.deepStrictEqual(actors.filter(({ restarts }) => restarts > 0).map(({ name }) => name), ["EventListener"])
        yield* put(client)
        yield* eventually(left(client), (rows) => rows.length === 1)
      }).pipe(Effect.provide(listener(buggy)))
      const [row] = yield* left(client)
      assert.deepInclude(row, { id: poison, refusal: null, attempts: 1 })
      assert.lengthOf(yield* events(client), 6)
    }))
})
