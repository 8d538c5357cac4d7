import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Queue, Stream } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import { Notifications, webhooksMax } from "../../src/persistence/Notifications.ts"
import { soon } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"
import * as Stores from "../support/Stores.ts"

/** Another node of the same database, and what it hears. */
const node = Effect.gen(function*() {
  const context = yield* Layer.build(Layer.fresh(Notifications.layer))
  const notifications = Context.get(context, Notifications)
  const heard = yield* Queue.unbounded<ReadonlyArray<Ids.WebhookId>>()
  const listening = yield* notifications.listen.pipe(
    Stream.runForEach((webhooks) => Queue.offer(heard, webhooks)),
    Effect.flip,
    Effect.fork
  )
  // It begins with any webhook, and listens then.
  assert.deepStrictEqual(yield* soon(Queue.take(heard)), [])
  return { ...notifications, heard: soon(Queue.take(heard)), listening }
})

const someWebhooks = (count: number) => Effect.replicateEffect(Ids.make("WebhookId"), count)

layer(PgTest.layer, Stores.options)("Notifications", (it) => {
  it.scoped("tell the other nodes which webhooks have work, and not the one that says so", () =>
    Effect.gen(function*() {
      const [a, b, c] = yield* Effect.all([node, node, node])
      const [first, second] = [yield* someWebhooks(2), yield* someWebhooks(1)]
      yield* a.send(first)
      assert.deepStrictEqual(yield* b.heard, first)
      assert.deepStrictEqual(yield* c.heard, first)
      yield* b.send(second)
      assert.deepStrictEqual(yield* a.heard, second, "the first that it hears")
      assert.deepStrictEqual(yield* c.heard, second)
    }))

  it.scoped("carry as many webhooks as a message has room for, and name none beyond", () =>
    Effect.gen(function*() {
      const [a, b] = yield* Effect.all([node, node])
      const most = yield* someWebhooks(webhooksMax)
      yield* a.send(most)
      assert.deepStrictEqual(yield* b.heard, most)
      yield* a.send([...most, yield* Ids.make("WebhookId")])
      assert.deepStrictEqual(yield* b.heard, [])
    }))

  it.scoped("that are none of ours are not heard", () =>
    Effect.gen(function*() {
      const [a, b] = yield* Effect.all([node, node])
      const pg = yield* PgClient.PgClient
      for (const payload of ["", "[]", "{", `{"node": 1, "webhooks": []}`]) {
        yield* pg`SELECT pg_notify('deeper_hub_webhooks_work', ${payload})`
      }
      const webhooks = yield* someWebhooks(1)
      yield* a.send(webhooks)
      assert.deepStrictEqual(yield* b.heard, webhooks)
    }))

  it.scoped("end with an error where the connection is lost", () =>
    Effect.gen(function*() {
      const { listening } = yield* node
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'deeper-hub-webhooks/listener'`
      const error = yield* soon(Fiber.join(listening))
      assert.strictEqual(error._tag, "PersistenceError")
    }))
})
