/**
 * Every actor is killed in turn while events are published and sent through the real service to a real receiver: it is
 * restarted, that is counted, and nothing is lost.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, it } from "@effect/vitest"
import { Effect, HashSet, Layer, Logger, Option, Queue, Ref, Schema } from "effect"
import { Subscription } from "../../src/domain/EventType.ts"
import type * as Ids from "../../src/domain/Ids.ts"
import { Pool } from "../../src/persistence/Postgres.ts"
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
import {
  atStart,
  deadlyCache,
  deadlyCourier,
  deadlyEvents,
  deadlyHealth,
  deadlyInventory,
  deadlyNotifications,
  deadlyPartitions,
  deadlyReencryption,
  deadlyStore,
  Doom,
  type Victim
} from "../support/Doom.ts"
import { eventually } from "../support/Eventually.ts"
import * as Rows from "../support/Rows.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Stores from "../support/Stores.ts"

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

const hasRestarted = ({ restarts, state }: Effect.Effect.Success<ReturnType<typeof restartsOf>>) =>
  restarts === 1 && state === "running"

const restarted = (name: string) => eventually(restartsOf(name), hasRestarted)

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
    // What is published for webhooks that have as much in hand as they may gives the Dispatcher nothing to die of.
    const { lastCrash } = yield* Effect.zipRight(also, restartsOf(victim)).pipe(Effect.repeat({ until: hasRestarted }))
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

it.scopedLive("G63 every actor may die: it is restarted, counted, and nothing is lost", () =>
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
