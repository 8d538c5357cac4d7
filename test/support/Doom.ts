/** Who is to die: the stores and services that actors live by, deadly to the one whose turn it is. */
import { assert } from "@effect/vitest"
import { Context, Effect, HashSet, Layer, Ref, Stream } from "effect"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { EndpointStore } from "../../src/persistence/EndpointStore.ts"
import { EventStore } from "../../src/persistence/EventStore.ts"
import { HealingStore } from "../../src/persistence/HealingStore.ts"
import { HealthStore } from "../../src/persistence/HealthStore.ts"
import { Inventory } from "../../src/persistence/Inventory.ts"
import { Notifications } from "../../src/persistence/Notifications.ts"
import { Partitions } from "../../src/persistence/Partitions.ts"
import { ReadCache } from "../../src/persistence/ReadCache.ts"
import { Courier } from "../../src/service/Courier.ts"
import { Reencryption } from "../../src/service/Reencryption.ts"

/** These die as soon as they start: some have no other opportunity. */
export const atStart = [
  "AutoHealing",
  "ChangeListener",
  "CleanupWorker",
  "HealthCheckWorker",
  "Monitor",
  "ReencryptionWorker",
  "Sampler",
  "Wakeups"
] as const

export type Victim =
  | typeof atStart[number]
  | "Courier"
  | "Dispatcher"
  | "GroupCommit"
  | "LeaseKeeper"
  | "OutcomeRecorder"
  | "Scheduler"
type Doomed = Ref.Ref<HashSet.HashSet<Victim>>

/** Who is to die at the next opportunity. */
export class Doom extends Context.Tag("deeper-hub-webhooks/test/support/Doom")<Doom, Doomed>() {
  static readonly layer = Layer.effect(this, Ref.make(HashSet.fromIterable<Victim>(atStart)))
}

/** Whether it is its turn; it comes once. */
const isDoomed = (doom: Doomed, victim: Victim) =>
  Ref.modify(doom, (doomed) => [HashSet.has(doomed, victim), HashSet.remove(doomed, victim)])

const dieIfDoomed = (doom: Doomed, victim: Victim) =>
  Effect.flatMap(isDoomed(doom, victim), (dies) => dies ? Effect.dieMessage(`${victim} is killed`) : Effect.void)

export const deadlyStore = Layer.effect(
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

export const deadlyEvents = Layer.effect(
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
          return {
            ...committed,
            leased: [Object.defineProperty({ ...first }, "attemptCount", { get: explode }), ...rest]
          }
        })
    }))
)

export const deadlyPartitions = Layer.effect(
  Partitions,
  Effect.map(Effect.all([Partitions, Doom]), ([partitions, doom]) => ({
    ensure: Effect.zipRight(dieIfDoomed(doom, "CleanupWorker"), partitions.ensure)
  }))
)

export const deadlyNotifications = Layer.effect(
  Notifications,
  Effect.map(Effect.all([Notifications, Doom]), ([notifications, doom]) => ({
    ...notifications,
    listen: Stream.unwrap(Effect.as(dieIfDoomed(doom, "Wakeups"), notifications.listen))
  }))
)

export const deadlyCache = Layer.effect(
  ReadCache,
  Effect.map(Effect.all([ReadCache, Doom]), ([cache, doom]) => ({
    ...cache,
    listen: Effect.zipRight(dieIfDoomed(doom, "ChangeListener"), cache.listen)
  }))
)

export const deadlyInventory = Layer.effect(
  Inventory,
  Effect.map(Effect.all([Inventory, Doom]), ([inventory, doom]) => ({
    ...inventory,
    count: Effect.zipRight(dieIfDoomed(doom, "Sampler"), inventory.count)
  }))
)

export const deadlyHealth = Layer.mergeAll(
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

export const deadlyReencryption = Layer.effect(
  Reencryption,
  Effect.map(Effect.all([Reencryption, Doom]), ([reencryption, doom]) => ({
    ...reencryption,
    run: (onProgress) => Effect.zipRight(dieIfDoomed(doom, "ReencryptionWorker"), reencryption.run(onProgress))
  }))
)

export const deadlyCourier = Layer.effect(
  Courier,
  Effect.map(Effect.all([Courier, Doom]), ([courier, doom]) => ({
    ...courier,
    begin: (...attempt: Parameters<typeof courier.begin>) =>
      Effect.runSync(isDoomed(doom, "Courier")) ? assert.fail("Courier is killed") : courier.begin(...attempt)
  }))
)
