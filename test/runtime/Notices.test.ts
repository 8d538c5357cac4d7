/** What puts notices into the outbox says so: they are published long before its next poll. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { ClientId } from "../../src/domain/Ids.ts"
import { unknownMax } from "../../src/persistence/Leases.ts"
import * as AutoHealing from "../../src/runtime/AutoHealing.ts"
import { Bulkhead } from "../../src/runtime/Bulkhead.ts"
import { DeliveryQueue } from "../../src/runtime/DeliveryQueue.ts"
import * as EventListener from "../../src/runtime/EventListener.ts"
import * as Monitor from "../../src/runtime/Monitor.ts"
import * as Scheduler from "../../src/runtime/Scheduler.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { EventBusPort } from "../../src/service/EventBus.ts"
import { conduct, failing, switchedOff, webhook } from "../support/Conduct.ts"
import { eventually } from "../support/Eventually.ts"
import * as Probing from "../support/Probing.ts"
import * as Rows from "../support/Rows.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Stores from "../support/Stores.ts"

/** It looks by itself when it begins, and then not for as long as a test lasts. */
const listener = EventListener.layer({ concurrency: 1, pollInterval: "1 hour" }).pipe(
  Layer.provide(EventBusPort.layer)
)

const scheduler = Scheduler.layer({ pollInterval: "1 hour", leaseSeconds: 30 }).pipe(
  Layer.provide(DeliveryQueue.layer),
  Layer.provide(Bulkhead.layer({ places: 64, placesPerWebhook: 8 }))
)

const actors = listener.pipe(Layer.provideMerge(Supervisor.layer), Layer.provideMerge(Probing.layer()))

const published = (client: ClientId) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql<
        { readonly eventType: string }
      >`SELECT event_type FROM events WHERE client_id = ${client} ORDER BY event_type`,
      (rows) => rows.map(({ eventType }) => eventType)
    ))

/** The notices that come of it, published one and all. */
const tells = (client: ClientId, ...types: ReadonlyArray<string>) =>
  eventually(published(client), (found) => types.every((type) => found.includes(type)), "20 seconds")

/** Somebody to tell. */
const begin = (name: string) =>
  Effect.tap(Rows.makeClient(name), (client) => Rows.makeWebhook(client, ["webhook.*", "alert.*", "delivery.*"]))

const rules: Monitor.MonitorOptions = {
  autoDeactivation: { enabled: true, failureThreshold: 20, minFailingMinutes: 15 },
  alerts: { latencyMs: 2_000, certificateDays: 14, secretDays: 7 }
}

layer(actors, Stores.options)("a notice is published at once", (it) => {
  it.scoped("of a webhook that is switched off, and of alerts that open", () =>
    Effect.gen(function*() {
      const { watchConduct, watchExpiry } = yield* Monitor.make(rules)
      const off = yield* begin("switched-off")
      yield* webhook(off, failing(20, 60))
      yield* watchConduct
      yield* tells(off, "alert.raised", "webhook.deactivated")

      const fails = yield* begin("fails")
      yield* webhook(fails, failing(5, 1))
      yield* watchConduct
      yield* tells(fails, "alert.raised")

      const expires = yield* begin("expires")
      yield* webhook(expires, { secret_expires_at: "now() + interval '1 day'" })
      yield* watchExpiry
      yield* tells(expires, "alert.raised")
    }))

  it.scoped("of a webhook that is back", () =>
    Effect.gen(function*() {
      const client = yield* begin("is-back")
      const receiver = yield* ScriptedReceiver.make({ status: 204 })
      const { id } = yield* Probing.register(client, receiver.url())
      yield* conduct(id, switchedOff)
      yield* Effect.flatten(AutoHealing.make)
      yield* tells(client, "alert.raised", "webhook.reactivated")
    }))

  it.scoped("of a delivery that is set aside", () =>
    Effect.gen(function*() {
      const client = yield* begin("set-aside")
      yield* Rows.makeWebhook(client, ["deal.*"])
      yield* Rows.publish(client, "deal.won")
      const [delivery] = yield* Rows.claim(1)
      assert(delivery)
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        UPDATE deliveries SET unknown_count = ${unknownMax - 1}, leased_until = now() - interval '1 second'
        WHERE client_id = ${client}`
      yield* Layer.build(scheduler)
      yield* tells(client, "alert.raised", "delivery.exhausted")
    }))
})
