/** What the stores remember, on two nodes of one database. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Option, TestClock, TestServices } from "effect"
import { EventTypeName } from "../../src/domain/EventType.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { AuditStore } from "../../src/persistence/AuditStore.ts"
import { ClientStore } from "../../src/persistence/ClientStore.ts"
import { EventTypeStore } from "../../src/persistence/EventTypeStore.ts"
import * as OwnConnection from "../../src/persistence/OwnConnection.ts"
import { ReadCache, type Table } from "../../src/persistence/ReadCache.ts"
import { eventually } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"
import * as Stores from "../support/Stores.ts"

/** Makes a change of which nobody is told: whoever does not see it answers from memory. */
const silently = <A, E, R>(change: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql.withTransaction(Effect.zipRight(sql`SET LOCAL session_replication_role = replica`, change))
  )

const tell = (table: Table) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT pg_notify('deeper_hub_webhooks_changed', ${table})`)

const node = Effect.gen(function*() {
  const stores = Layer.mergeAll(AuditStore.layer, ClientStore.layer, EventTypeStore.layer)
  const context = yield* Layer.build(Layer.fresh(Layer.provideMerge(stores, ReadCache.layer)))
  const cache = Context.get(context, ReadCache)
  yield* Effect.forkScoped(Effect.retry(cache.listen, OwnConnection.reconnecting))
  const probe = yield* cache.open<object>("event_types")
  const read = probe.read("probe", () => Effect.sync(() => ({})), () => Infinity)
  yield* eventually(Effect.zipWith(read, read, (one, other) => one === other), (isSame) => isSame)
  /** What is told is heard in its order: this comes after all that was told before. */
  const heardAll = Effect.gen(function*() {
    const before = yield* read
    yield* tell("event_types")
    yield* eventually(read, (now) => now !== before)
  })
  return {
    audit: Context.get(context, AuditStore),
    clients: Context.get(context, ClientStore),
    eventTypes: Context.get(context, EventTypeStore),
    heardAll
  }
})

type Node = Effect.Effect.Success<typeof node>

const secretHash = new Uint8Array(32).fill(1)
const wrongHash = new Uint8Array(32).fill(2)

const someClient = (clients: ClientStore["Type"], name: string) => {
  const id = Ids.ClientId.make(name)
  return Effect.as(clients.insert({ id, name: null, alertEmail: null }), id)
}

const someKey = (clients: ClientStore["Type"], clientId: Ids.ClientId) =>
  Effect.flatMap(
    Ids.make("KeyId"),
    (id) => clients.insertKey({ id, clientId, role: "client", name: null, expiresAt: null, secretHash })
  )

const remember = ({ clients, heardAll }: Node, id: Ids.KeyId) =>
  Effect.gen(function*() {
    yield* heardAll
    assert.isTrue(Option.isSome(yield* clients.liveKey(id, secretHash)))
  })

const removeKey = (id: Ids.KeyId) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => silently(sql`DELETE FROM api_keys WHERE id = ${Ids.toUuid(id)}`)
  )

layer(PgTest.layer, Stores.options)("A remembered key", (it) => {
  it.scoped("is answered without a question, until its table changes", () =>
    Effect.gen(function*() {
      const here = yield* node
      const { clients } = here
      const { id } = yield* someKey(clients, yield* someClient(clients, "remembered"))
      yield* remember(here, id)
      yield* removeKey(id)
      assert.isTrue(Option.isSome(yield* clients.liveKey(id, secretHash)))
      yield* tell("api_keys")
      yield* eventually(clients.liveKey(id, secretHash), Option.isNone)
    }))

  it.scoped("that is revoked is refused by the next request here, and soon on other nodes", () =>
    Effect.gen(function*() {
      const [here, there] = yield* Effect.all([node, node])
      const client = yield* someClient(here.clients, "revoking")
      const { id } = yield* someKey(here.clients, client)
      yield* remember(here, id)
      yield* remember(there, id)
      yield* here.audit.record(here.clients.revokeKey(client, id), () => [])
      assert.isTrue(Option.isNone(yield* here.clients.liveKey(id, secretHash)))
      yield* eventually(there.clients.liveKey(id, secretHash), Option.isNone)
    }))

  it.scoped("that is revoked is refused by the next request also where nobody is told", () =>
    Effect.gen(function*() {
      const here = yield* node
      const { audit, clients } = here
      const client = yield* someClient(clients, "untold")
      const revoke = (id: Ids.KeyId) => clients.revokeKey(client, id)
      for (const change of [revoke, (id: Ids.KeyId) => audit.record(revoke(id), () => [])]) {
        const { id } = yield* someKey(clients, client)
        yield* remember(here, id)
        const sql = yield* SqlClient.SqlClient
        yield* sql`ALTER TABLE api_keys DISABLE TRIGGER api_keys_told`
        yield* change(id)
        assert.isTrue(Option.isNone(yield* clients.liveKey(id, secretHash)))
        yield* sql`ALTER TABLE api_keys ENABLE TRIGGER api_keys_told`
      }
    }))

  it.scoped("is looked up for whoever comes with another secret, as an unknown one is", () =>
    Effect.gen(function*() {
      const here = yield* node
      const { clients } = here
      const { id } = yield* someKey(clients, yield* someClient(clients, "guessed"))
      yield* remember(here, id)
      assert.isTrue(Option.isSome(yield* clients.liveKey(id, wrongHash)))
      yield* removeKey(id)
      assert.isTrue(Option.isNone(yield* clients.liveKey(id, wrongHash)))
      assert.isTrue(Option.isSome(yield* clients.liveKey(id, secretHash)))
    }))
})

layer(PgTest.layer, Stores.options)("What there was not", (it) => {
  it.scoped("is found as soon as it is there", () =>
    Effect.gen(function*() {
      const { clients, heardAll } = yield* node
      const sql = yield* SqlClient.SqlClient
      const id = Ids.ClientId.make("newcomer")
      yield* heardAll
      assert.isFalse(yield* clients.exists(id))
      yield* silently(sql`INSERT INTO clients (id) VALUES (${id})`)
      assert.isTrue(yield* clients.exists(id))
      yield* silently(sql`DELETE FROM clients WHERE id = ${id}`)
      assert.isTrue(yield* clients.exists(id), "and is remembered then")
    }))
})

layer(PgTest.layer, Stores.options)("Sensitive paths", (it) => {
  it.scoped("are known at once where they are named, and soon on other nodes", () =>
    Effect.gen(function*() {
      const [here, there] = yield* Effect.all([node, node])
      const name = EventTypeName.make("person.added")
      const put = (sensitivePaths: ReadonlyArray<string>) =>
        here.eventTypes.put({ name, description: null, example: null, schema: null, sensitivePaths })
      for (const paths of [["email"], ["email", "phone"]]) {
        yield* here.eventTypes.sensitivePaths
        yield* put(paths)
        assert.deepStrictEqual((yield* here.eventTypes.sensitivePaths).get(name), paths)
        yield* eventually(there.eventTypes.sensitivePaths, (known) => known.get(name)?.length === paths.length)
      }
      yield* here.eventTypes.remove(name)
      assert.isFalse((yield* here.eventTypes.sensitivePaths).has(name))
      yield* eventually(there.eventTypes.sensitivePaths, (known) => !known.has(name))
    }))
})

/** The node's date is 1970: no date of its own decides. */
layer(PgTest.layer, { timeout: "60 seconds" })("A remembered key that expires", (it) => {
  it.scoped("is refused when its time by the database's clock is over, however wrong the node's date is", () =>
    Effect.gen(function*() {
      const { clients, heardAll } = yield* TestServices.provideLive(node)
      const { id } = yield* someKey(clients, yield* someClient(clients, "expiring"))
      const sql = yield* SqlClient.SqlClient
      yield* TestServices.provideLive(heardAll)
      yield* silently(sql`UPDATE api_keys SET expires_at = now() + interval '9 seconds' WHERE id = ${Ids.toUuid(id)}`)
      assert.isTrue(Option.isSome(yield* clients.liveKey(id, secretHash)))
      yield* removeKey(id)
      assert.isTrue(Option.isSome(yield* clients.liveKey(id, secretHash)))
      yield* TestClock.adjust("9 seconds")
      assert.isTrue(Option.isNone(yield* clients.liveKey(id, secretHash)))
    }))
})
