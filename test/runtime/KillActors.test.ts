/**
 * Every actor is killed in turn while events are published and sent through the real service to a real receiver: it is
 * restarted, that is counted, and nothing is lost.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, it } from "@effect/vitest"
import { Context, Effect, HashSet, Layer, Logger, Option, Queue, Ref, Schema, Stream } from "effect"
import { Subscription } from "../../src/domain/EventType.ts"
import type * as Ids from "../../src/domain/Ids.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { EndpointStore } from "../../src/persistence/EndpointStore.ts"
import { EventStore } from "../../src/persistence/EventStore.ts"
import { HealingStore } from "../../src/persistence/HealingStore.ts"
import { HealthStore } from "../../src/persistence/HealthStore.ts"
import { Inventory } from "../../src/persistence/Inventory.ts"
import { Notifications } from "../../src/persistence/Notifications.ts"
import { Partitions } from "../../src/persistence/Partitions.ts"
import { Pool } from "../../src/persistence/Postgres.ts"
import { ReadCache } from "../../src/persistence/ReadCache.ts"
import * as Actors from "../../src/runtime/Actors.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { Audit } from "../../src/service/Audit.ts"
import { Courier } from "../../src/service/Courier.ts"
import { EventBus, EventBusPort } from "../../src/service/EventBus.ts"
import { Probe } from "../../src/service/Probe.ts"
import { Reencryption } from "../../src/service/Reencryption.ts"
import { WebhookService } from "../../src/service/WebhookService.ts"
import { EncryptionKeys } from "../../src/signing/EncryptionKeys.ts"
import { PayloadSigner } from "../../src/signing/PayloadSigner.ts"
import { SecretBox } from "../../src/signing/SecretBox.ts"
import { Signals } from "../../src/telemetry/Signals.ts"
import { UrlGuard } from "../../src/transport/UrlGuard.ts"
import { WebhookClient } from "../../src/transport/WebhookClient.ts"
import { eventually } from "../support/Eventually.ts"
import * as Rows from "../support/Rows.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Stores from "../support/Stores.ts"

/** These die as soon as they start: some have no other opportunity. */
const atStart = [
  "AutoHealing",
  "ChangeListener",
  "CleanupWorker",
  "HealthCheckWorker",
  "Monitor",
  "ReencryptionWorker",
  "Sampler",
  "Wakeups"
] as const

type Victim =
  | typeof atStart[number]
  | "Courier"
  | "Dispatcher"
  | "GroupCommit"
  | "LeaseKeeper"
  | "OutcomeRecorder"
  | "Scheduler"
type Doomed = Ref.Ref<HashSet.HashSet<Victim>>

/** Who is to die at the next opportunity. */
class Doom extends Context.Tag("deeper-hub-webhooks/test/runtime/KillActors.test/Doom")<Doom, Doomed>() {
  static readonly layer = Layer.effect(this, Ref.make(HashSet.fromIterable<Victim>(atStart)))
}

/** Whether it is its turn; it comes once. */
const isDoomed = (doom: Doomed, victim: Victim) =>
  Ref.modify(doom, (doomed) => [HashSet.has(doomed, victim), HashSet.remove(doomed, victim)])

const dieIfDoomed = (doom: Doomed, victim: Victim) =>
  Effect.flatMap(isDoomed(doom, victim), (dies) => dies ? Effect.dieMessage(`${victim} is killed`) : Effect.void)

const deadlyStore = Layer.effect(
  DeliveryStore,
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const doom = yield* Doom
    return DeliveryStore.of({
      ...store,
      reclaimExpired: Effect.zipRight(dieIfDoomed(doom, "Scheduler"), store.reclaimExpired),
      record: (outcomes) => Effect.zipRight(dieIfDoomed(doom, "OutcomeRecorder"), store.record(outcomes)),
      prolong: (leases, seconds) => Effect.zipRight(dieIfDoomed(doom, "LeaseKeeper"), store.prolong(leases, seconds))
    })
  })
)

const explode = () => assert.fail("Dispatcher is killed")

const deadlyEvents = Layer.effect(
  EventStore,
  Effect.map(Effect.all([EventStore, Doom]), ([store, doom]) =>
    EventStore.of({
      ...store,
      publish: (requests, lease) =>
        Effect.gen(function*() {
          yield* dieIfDoomed(doom, "GroupCommit")
          const committed = yield* store.publish(requests, lease)
          const [first, ...rest] = committed.leased
          if (first === undefined || !(yield* isDoomed(doom, "Dispatcher"))) return committed
          // Whoever is to send the first one dies of it.
          return { ...committed, leased: [Object.defineProperty({ ...first }, "timeoutMs", { get: explode }), ...rest] }
        })
    }))
)

const deadlyPartitions = Layer.effect(
  Partitions,
  Effect.map(Effect.all([Partitions, Doom]), ([partitions, doom]) => ({
    ensure: Effect.zipRight(dieIfDoomed(doom, "CleanupWorker"), partitions.ensure)
  }))
)

const deadlyNotifications = Layer.effect(
  Notifications,
  Effect.map(Effect.all([Notifications, Doom]), ([notifications, doom]) => ({
    ...notifications,
    listen: Stream.unwrap(Effect.as(dieIfDoomed(doom, "Wakeups"), notifications.listen))
  }))
)

const deadlyCache = Layer.effect(
  ReadCache,
  Effect.map(Effect.all([ReadCache, Doom]), ([cache, doom]) => ({
    ...cache,
    listen: Effect.zipRight(dieIfDoomed(doom, "ChangeListener"), cache.listen)
  }))
)

const deadlyInventory = Layer.effect(
  Inventory,
  Effect.map(Effect.all([Inventory, Doom]), ([inventory, doom]) => ({
    ...inventory,
    count: Effect.zipRight(dieIfDoomed(doom, "Sampler"), inventory.count)
  }))
)

const deadlyHealth = Layer.mergeAll(
  Layer.effect(
    EndpointStore,
    Effect.map(Effect.all([EndpointStore, Doom]), ([store, doom]) => ({
      ...store,
      judgeConduct: (rules) => Effect.zipRight(dieIfDoomed(doom, "Monitor"), store.judgeConduct(rules))
    }))
  ),
  Layer.effect(
    HealingStore,
    Effect.map(Effect.all([HealingStore, Doom]), ([store, doom]) => ({
      ...store,
      take: (most) => Effect.zipRight(dieIfDoomed(doom, "AutoHealing"), store.take(most))
    }))
  ),
  Layer.effect(
    HealthStore,
    Effect.map(Effect.all([HealthStore, Doom]), ([store, doom]) => ({
      ...store,
      takeDue: (request) => Effect.zipRight(dieIfDoomed(doom, "HealthCheckWorker"), store.takeDue(request))
    }))
  )
)

const deadlyReencryption = Layer.effect(
  Reencryption,
  Effect.map(Effect.all([Reencryption, Doom]), ([reencryption, doom]) => ({
    ...reencryption,
    run: (onProgress) => Effect.zipRight(dieIfDoomed(doom, "ReencryptionWorker"), reencryption.run(onProgress))
  }))
)

const deadlyCourier = Layer.effect(
  Courier,
  Effect.map(Effect.all([Courier, Doom]), ([courier, doom]) => ({
    deliver: (parcel) => Effect.zipRight(dieIfDoomed(doom, "Courier"), courier.deliver(parcel))
  }))
)

const keys = Schema.decodeSync(EncryptionKeys)(`k1:${Buffer.alloc(32, 1).toString("base64")}`)

const Transport = Layer.merge(
  WebhookClient.layer({ userAgent: "kill-test/1" }),
  UrlGuard.layer({ schemes: ["http"], ownHosts: [] })
)

const options: Actors.ActorsOptions = {
  enabled: true,
  concurrency: 64,
  concurrencyPerWebhook: 4,
  leaseSeconds: 5,
  pollIntervalMs: 50,
  retentionDays: 30,
  autoDeactivation: { enabled: true, failureThreshold: 1_000, minFailingMinutes: 15 },
  alerts: { latencyMs: 2_000, certificateDays: 14, secretDays: 7 },
  healthCheckInterval: "15 minutes",
  mail: Option.none(),
  retryPolicy: { baseDelayMs: 20, maxDelayMs: 100, backoffFactor: 2 }
}

const Service = Actors.layer(options).pipe(
  Layer.provideMerge(EventBus.layer),
  Layer.provideMerge(EventBusPort.layer),
  Layer.provideMerge(WebhookService.layer({ payloadBytesMax: 100_000, retryCount: 20, timeoutMs: 1_000 })),
  Layer.provideMerge(Actors.layerHandOver(options)),
  Layer.provideMerge(Probe.layer),
  Layer.provide(Audit.layer),
  Layer.provideMerge(deadlyCourier.pipe(Layer.provide(Courier.layer))),
  Layer.provideMerge(deadlyReencryption.pipe(Layer.provide(Reencryption.layer))),
  Layer.provide(Layer.mergeAll(Transport, PayloadSigner.layer, SecretBox.layer(keys))),
  Layer.provideMerge(
    Layer.mergeAll(
      deadlyCache,
      deadlyEvents,
      deadlyHealth,
      deadlyInventory,
      deadlyNotifications,
      deadlyPartitions,
      deadlyStore
    )
  ),
  Layer.provideMerge(Layer.succeed(Pool, Effect.succeed({ busy: 0, idle: 0, waiting: 0 }))),
  Layer.provideMerge(Stores.layer),
  Layer.provideMerge(Layer.mergeAll(Signals.layer, Supervisor.layer, Doom.layer)),
  Layer.provide(ScriptedReceiver.allowLoopback()),
  Layer.provide(Logger.remove(Logger.defaultLogger))
)

const restartsOf = (name: string) =>
  Effect.flatMap(Supervisor, (supervisor) =>
    Effect.map(supervisor.actors, (actors) => {
      const actor = actors.find((one) => one.name === name)
      return { state: actor?.state, restarts: actor?.restarts, lastCrash: actor?.lastCrash?.message }
    }))

/** Publishes an event, and answers its deliveries. */
const publishOne = (type: string) =>
  Effect.flatMap(EventBus, (bus) =>
    Effect.map(
      bus.publish(type, { n: 1 }, { clientId: "acme" }),
      ({ deliveries }) => deliveries.map(({ id }) => id)
    ))

const publishSome = Effect.map(
  Effect.replicateEffect(publishOne("deal.won"), 12, { concurrency: 6 }),
  (published) => published.flat()
)

const kill = (victim: Victim) => Effect.flatMap(Doom, (doom) => Ref.update(doom, HashSet.add(victim)))

/** A request that is none: nobody who takes it survives it. */
const killEventListener = Effect.flatMap(EventBusPort, ({ requests }) => Queue.offer(requests, null as never))

const restarted = (name: string) =>
  eventually(restartsOf(name), ({ restarts, state }) => restarts === 1 && state === "running")

/** The slow one's first attempt takes longer than a lease is left alone. */
const slowAtFirst = (): ScriptedReceiver.Answer => {
  let isFirst = true
  return ({ path }) => {
    if (path !== "/slow" || !isFirst) return { status: 200 }
    isFirst = false
    return "hang"
  }
}

const program = Effect.gen(function*() {
  const receiver = yield* ScriptedReceiver.make(slowAtFirst())
  const client = yield* Rows.makeClient("acme")
  const service = yield* WebhookService
  const caller = { keyId: null, clientId: client, role: "client", address: null } as const
  for (const path of ["/a", "/b"]) {
    yield* service.register(caller, { url: receiver.url(path).href, events: [Subscription.make("deal.*")] })
  }

  yield* service.register(caller, {
    url: receiver.url("/slow").href,
    events: [Subscription.make("slow.*")],
    timeoutMs: 5_000
  })

  const deliveries = new Array<Ids.DeliveryId>()
  const also = Effect.map(publishSome, (more) => deliveries.push(...more))
  yield* Effect.forEach(atStart, restarted)
  yield* kill("LeaseKeeper")
  deliveries.push(...(yield* publishOne("slow.one")))
  yield* restarted("LeaseKeeper")
  for (const victim of ["Scheduler", "OutcomeRecorder", "Dispatcher"] as const) {
    yield* also
    yield* kill(victim)
    yield* also
    const { lastCrash } = yield* restarted(victim)
    assert.include(lastCrash, `${victim} is killed`)
  }
  yield* kill("GroupCommit")
  yield* also
  yield* restarted("GroupCommit")
  yield* killEventListener
  yield* also
  yield* restarted("EventListener")
  yield* kill("Courier")
  yield* also
  return { client, deliveries, receiver }
})

it.scopedLive("every actor may die: it is restarted, counted, and nothing is lost", () =>
  Effect.gen(function*() {
    const { client, deliveries, receiver } = yield* program
    const sql = yield* SqlClient.SqlClient
    yield* eventually(
      sql`SELECT status, count(*)::int AS count FROM deliveries WHERE client_id = ${client} GROUP BY status`,
      (rows) => rows.length === 1 && rows[0]?.["status"] === "delivered" && rows[0]["count"] === deliveries.length
    )
    const received = new Set(receiver.received.map(({ headers }) => headers["x-delivery-id"]))
    for (const id of deliveries) assert.isTrue(received.has(id), `${id} never arrived`)
    assert.strictEqual(received.size, deliveries.length)

    const unknown = yield* sql`SELECT DISTINCT result FROM attempts WHERE result <> 'success' ORDER BY result`
    assert.deepStrictEqual(unknown, [{ result: "failure_retryable" }, { result: "outcome_unknown" }])
    const actors = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
    assert.deepStrictEqual(
      actors.map(({ name, restarts, state }) => [name, restarts, state]),
      [
        "GroupCommit",
        "LeaseKeeper",
        "OutcomeRecorder",
        "Dispatcher",
        "Scheduler",
        "AutoHealing",
        "HealthCheckWorker",
        "Monitor",
        "Wakeups",
        "ChangeListener",
        "CleanupWorker",
        "Sampler",
        "ReencryptionWorker",
        "EventListener"
      ]
        .map((name) => [name, 1, "running"])
    )
  }).pipe(Effect.provide(Service)), 60_000)
