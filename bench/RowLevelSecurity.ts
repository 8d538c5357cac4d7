/**
 * What row-level security costs: publishing and listing through the real store and pool, as it is now, and with
 * policies that bind every statement to one client, told to Postgres in each of the ways that are sound.
 *
 *     npm run bench:rls            # 60 rounds, short ones: what else the machine does evens out
 *     npm run bench:rls -- 200
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Statement from "@effect/sql/Statement"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import { fileURLToPath } from "node:url"
import { EventTypeName, Subscription } from "../src/domain/EventType.ts"
import { ClientId, make as makeId } from "../src/domain/Ids.ts"
import { SignatureScheme } from "../src/domain/SignatureScheme.ts"
import { ClientStore } from "../src/persistence/ClientStore.ts"
import { EventStore } from "../src/persistence/EventStore.ts"
import * as Migrations from "../src/persistence/Migrations.ts"
import { Partitions } from "../src/persistence/Partitions.ts"
import * as Postgres from "../src/persistence/Postgres.ts"
import { ReadCache } from "../src/persistence/ReadCache.ts"
import { WebhookStore } from "../src/persistence/WebhookStore.ts"
import * as Policies from "./Policies.ts"
import { race, table } from "./Rounds.ts"
import { server } from "./Server.ts"

const rounds = Number(process.argv[2] ?? 60)
const concurrency = 16
const client = ClientId.make("bench")
const stranger = ClientId.make("stranger")

const stores = Layer.mergeAll(
  ClientStore.layer,
  EventStore.layer({ idempotencyTtl: "1 day" }),
  Partitions.layer,
  WebhookStore.layer
).pipe(Layer.provide(ReadCache.layer))

/** The stores over a pool of this role's. */
const connect = (url: Redacted.Redacted, role: string | null) => {
  const own = new URL(Redacted.value(url))
  if (role !== null) [own.username, own.password] = [role, Policies.password]
  const pool = Postgres.layer({ url: Redacted.make(own.href), poolMax: concurrency, queryTimeout: "30 seconds" })
  return Layer.build(stores.pipe(Layer.provideMerge(pool)))
}

const prepare = Effect.gen(function*() {
  yield* Migrations.run(fileURLToPath(new URL("../migrations", import.meta.url)))
  yield* Effect.flatMap(Partitions, (partitions) => partitions.ensure)
  yield* Policies.apply
  const clients = yield* ClientStore
  yield* clients.insert({ id: client, name: null, alertEmail: null })
  yield* clients.insert({ id: stranger, name: null, alertEmail: null })
  const webhooks = yield* WebhookStore
  yield* webhooks.insert({
    id: yield* makeId("WebhookId"),
    clientId: client,
    name: null,
    description: null,
    url: "https://example.com/hook",
    events: [Subscription.make("deal.*")],
    headerNames: [],
    headersSealed: null,
    secretSealed: new Uint8Array([1]),
    secretExpiresAt: null,
    previousSecretSealed: null,
    previousSecretExpiresAt: null,
    signatures: SignatureScheme.literals,
    isActive: true,
    deactivationReason: null,
    retryCount: 5,
    timeoutMs: 5_000
  })
})

const body = JSON.stringify({ data: { id: 1, note: "x".repeat(400) } })

const publish = Effect.gen(function*() {
  const events = yield* EventStore
  const event = {
    id: yield* makeId("EventId"),
    eventType: EventTypeName.make("deal.won"),
    occurredAt: yield* DateTime.now,
    body
  }
  return yield* events.publish(
    [{ clientId: client, events: [event], idempotency: null, target: null, notice: null }],
    null
  )
})

const listOf = (only: ClientId) =>
  Effect.flatMap(EventStore, (events) => events.list({ only }, { eventType: null }, { limit: 50, after: null }))

/** As the service would write it today. */
const inTransaction = <A, E, R>(operation: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql.withTransaction(Effect.zipRight(sql`SELECT set_config('app.client_id', ${client}, true)`, operation))
  )

/** The same with one way less: BEGIN and the setting go out together. A client's id has no quote in it. */
const inShortTransaction = <A, E, R>(operation: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const connection = yield* sql.reserve
    yield* connection.executeRaw(`BEGIN; SET LOCAL app.client_id = '${client}'`, [])
    return yield* operation.pipe(
      Effect.provideService(SqlClient.TransactionConnection, [connection, 0]),
      Effect.tapBoth({
        onFailure: () => connection.executeRaw("ROLLBACK", []),
        onSuccess: () => connection.executeRaw("COMMIT", [])
      })
    )
  }))

/** The statement stands in a function, which sets the client before it: one way, and the order is that of PL/pgSQL. */
const throughFunction = (name: string) =>
  Statement.withTransformer((statement, sql) =>
    Effect.sync(() => {
      const [, values] = statement.compile()
      const parameters = [...values, client].map((_, i) => `$${i + 1}`).join()
      return sql.unsafe(`SELECT * FROM ${name}(${parameters})`, [...values, client])
    })
  )

/** What the store sends for it. */
const statementOf = <E, R>(operation: Effect.Effect<unknown, E, R>) =>
  Effect.gen(function*() {
    let text = ""
    yield* Statement.withTransformer(operation, (statement) =>
      Effect.sync(() => {
        text = statement.compile()[0]
        return statement
      }))
    return text
  })

/** A wall that lets something through would be fast. */
const tryTheWall = Effect.gen(function*() {
  const seen = yield* Effect.all({
    unset: listOf(client),
    own: inTransaction(listOf(client)),
    strangers: inTransaction(listOf(stranger)),
    function: throughFunction("list_bound")(listOf(client)),
    after: listOf(client)
  })
  const rows = Object.fromEntries(Object.entries(seen).map(([name, { data }]) => [name, data.length]))
  const expected = { unset: 0, own: 50, strangers: 0, function: 50, after: 0 }
  if (JSON.stringify(rows) !== JSON.stringify(expected)) {
    return yield* Effect.dieMessage(`the policies do not hold: ${JSON.stringify(rows)}`)
  }
})

const program = Effect.gen(function*() {
  const { url } = yield* server
  const owner = yield* connect(url, null)
  yield* Effect.provide(prepare, owner)
  yield* Effect.provide(Effect.replicateEffect(publish, 200), owner)
  yield* Effect.provide(Policies.makeFunctions("publish", yield* Effect.provide(statementOf(publish), owner)), owner)
  yield* Effect.provide(
    Policies.makeFunctions("list", yield* Effect.provide(statementOf(listOf(client)), owner)),
    owner
  )
  const free = yield* connect(url, Policies.free)
  const bound = yield* connect(url, Policies.bound)
  yield* Effect.provide(tryTheWall, bound)

  const contenders = <E>(name: string, operation: Effect.Effect<unknown, E, EventStore>) => [
    { name: "as now", run: Effect.provide(operation, free) },
    { name: "policies, transaction", run: Effect.provide(inTransaction(operation), bound) },
    { name: "policies, shorter transaction", run: Effect.provide(inShortTransaction(operation), bound) },
    { name: "function without policies", run: Effect.provide(throughFunction(`${name}_free`)(operation), free) },
    { name: "function with policies", run: Effect.provide(throughFunction(`${name}_bound`)(operation), bound) }
  ]
  const published = yield* race(contenders("publish", publish), { rounds, times: 100, concurrency })
  yield* Console.log(table("publish", published))
  const listed = yield* race(contenders("list", listOf(client)), { rounds, times: 100, concurrency })
  yield* Console.log(`\n${table("list 50 events", listed)}`)
})

program.pipe(
  Effect.scoped,
  Effect.provide(NodeContext.layer),
  Logger.withMinimumLogLevel(LogLevel.Warning),
  NodeRuntime.runMain
)
