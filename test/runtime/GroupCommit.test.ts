import { assert, layer } from "@effect/vitest"
import { DateTime, Deferred, Effect, Exit, Fiber, Layer, Logger, LogLevel, Option, Ref } from "effect"
import { EventTypeName } from "../../src/domain/EventType.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { EventStore } from "../../src/persistence/EventStore.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import type { PublishRequest } from "../../src/persistence/PublishRequest.ts"
import { IdempotencyConflict } from "../../src/persistence/Replay.ts"
import { Bulkhead } from "../../src/runtime/Bulkhead.ts"
import { DeliveryQueue } from "../../src/runtime/DeliveryQueue.ts"
import * as GroupCommit from "../../src/runtime/GroupCommit.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { Commit } from "../../src/service/Commit.ts"
import { claimed } from "../support/Deliveries.ts"
import { eventually } from "../support/Eventually.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const request = (clientId: Ids.ClientId, change: Partial<PublishRequest> = {}, body = "{}") =>
  Effect.gen(function*() {
    const event = {
      id: yield* Ids.make("EventId"),
      eventType: EventTypeName.make("deal.won"),
      occurredAt: yield* DateTime.now,
      body
    }
    return {
      clientId,
      events: [event],
      idempotency: null,
      target: null,
      notice: null,
      ...change
    } satisfies PublishRequest
  })

const keyed = (clientId: Ids.ClientId, key: string, hash: string) =>
  request(clientId, { idempotency: { key, requestHash: new TextEncoder().encode(hash) } })

const commit = (request: PublishRequest) => Effect.flatMap(Commit, (port) => port.commit(request))

/** The real store, whose first statements wait for `open`, and the sizes of the groups that came. */
const gated = Effect.gen(function*() {
  const store = yield* EventStore
  const open = yield* Deferred.make<void>()
  const groups = yield* Ref.make<ReadonlyArray<number>>([])
  const published: typeof store.publish = (requests, lease) =>
    Ref.update(groups, (sizes) => [...sizes, requests.length]).pipe(
      Effect.zipRight(Deferred.await(open)),
      Effect.zipRight(store.publish(requests, lease))
    )
  return { groups, open: Deferred.succeed(open, undefined), store: { ...store, publish: published } }
})

const committing = (
  store: EventStore["Type"],
  commits: Layer.Layer<Commit, never, EventStore | Supervisor> = GroupCommit.layerUnsent
) =>
  commits.pipe(
    Layer.provide(Layer.succeed(EventStore, store)),
    Layer.provideMerge(Supervisor.layer),
    Layer.provide(Logger.remove(Logger.defaultLogger))
  )

/** With a hand-over to nobody. */
const Queue = DeliveryQueue.layer.pipe(Layer.provide(Layer.mock(DeliveryStore, { release: () => Effect.void })))
const sending = (queue: DeliveryQueue["Type"]) =>
  GroupCommit.layer({ leaseSeconds: 30, concurrency: 1_024 }).pipe(
    Layer.provide(Layer.succeed(DeliveryQueue, queue)),
    Layer.provide(Bulkhead.layer({ places: 64, placesPerWebhook: 8 }))
  )

/** A group is under way and waits; what comes now is for the next. */
const occupied = (client: Ids.ClientId, groups: Ref.Ref<ReadonlyArray<number>>) =>
  Effect.zipRight(
    Effect.fork(Effect.flatMap(request(client), commit)),
    eventually(Ref.get(groups), (sizes) => sizes.length === 1)
  )

layer(Stores.layer, Stores.options)("group commit", (it) => {
  it.scoped("commits all who wait in one statement, each with its own answer", () =>
    Effect.gen(function*() {
      const [mine, other] = [yield* Rows.makeClient("mine"), yield* Rows.makeClient("other")]
      const webhook = yield* Rows.makeWebhook(mine, ["deal.*"])
      const { groups, open, store } = yield* gated
      yield* Effect.gen(function*() {
        yield* occupied(mine, groups)
        const requests = [yield* request(mine), yield* request(other), yield* request(mine)]
        const waiting = yield* Effect.forEach(requests, (one) => Effect.fork(commit(one)))
        yield* Effect.yieldNow()
        yield* open
        const answers = yield* Effect.forEach(waiting, Fiber.join)
        assert.deepStrictEqual(yield* Ref.get(groups), [1, 3])
        assert.deepStrictEqual(
          answers.map(({ published }) => published.map(({ eventId }) => eventId)),
          requests.map(({ events: [event] }) => [event.id])
        )
        const reached = answers.map(({ published: [one] }) => one?.deliveries.map(({ webhookId }) => webhookId))
        assert.deepStrictEqual(reached, [[webhook.id], [], [webhook.id]])
      }).pipe(Effect.provide(committing(store)))
    }))

  it.scoped("begins a second group beside one under way, but not for a few, however much they bring", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("many")
      const { groups, open, store } = yield* gated
      yield* Effect.gen(function*() {
        yield* occupied(client, groups)
        const two = Effect.zipWith(request(client), request(client), (one, other): PublishRequest => ({
          ...one,
          events: [one.events[0], ...other.events]
        }))
        const waiting = yield* Effect.replicateEffect(Effect.fork(Effect.flatMap(two, commit)), 63)
        yield* Effect.promise(() => new Promise(setImmediate))
        assert.deepStrictEqual(yield* Ref.get(groups), [1])
        const last = yield* Effect.fork(Effect.flatMap(request(client), commit))
        yield* eventually(Ref.get(groups), (sizes) => sizes.length === 2)
        assert.deepStrictEqual(yield* Ref.get(groups), [1, 64])
        yield* open
        yield* Effect.forEach([...waiting, last], Fiber.join)
      }).pipe(Effect.provide(committing(store)))
    }))

  it.effect("takes however many wait, a statement's worth at a time", () =>
    Effect.gen(function*() {
      const many = 150_000
      const store = yield* EventStore
      let stored = 0
      const publish: EventStore["Type"]["publish"] = (requests) =>
        Effect.sync(() => {
          stored += requests.length
          return {
            leased: [],
            stored: requests.map(() => Option.some({ published: [], waiting: [], circuitOpen: [] }))
          }
        })
      const client = Ids.ClientId.make("default")
      const one = yield* request(client)
      yield* Effect.replicateEffect(commit(one), many, { concurrency: "unbounded", discard: true }).pipe(
        Effect.provide(committing({ ...store, publish }))
      )
      assert.strictEqual(stored, many)
    }), 60_000)

  it.scoped("lets nobody wait behind a group that takes long", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("slow")
      const { groups, open, store } = yield* gated
      yield* Effect.gen(function*() {
        yield* occupied(client, groups)
        const late = yield* Effect.fork(Effect.flatMap(request(client), commit))
        yield* eventually(Ref.get(groups), (sizes) => sizes.length === 2)
        yield* open
        yield* Fiber.join(late)
      }).pipe(Effect.provide(committing(store)))
    }))

  it.scoped("takes no more in while much that was published waits to be sent", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("busy")
      const store = yield* EventStore
      const queue = yield* DeliveryQueue
      const waiting: Array<number> = []
      const published: typeof store.publish = (requests, lease) => {
        waiting.push(queue.freshInLine())
        return store.publish(requests, lease)
      }
      yield* Effect.gen(function*() {
        const one = yield* request(client)
        const fresh = yield* Effect.replicateEffect(claimed(), 1_000)
        yield* queue.offerAll(fresh.map((delivery) => ({ delivery, leaseEndsAt: 30_000_000_000n, isFresh: true })))
        assert.isAbove(queue.freshInLine(), 900)
        yield* commit(one)
        const [found = 0] = waiting
        assert.isAtMost(found, 256)
      }).pipe(Effect.provide(committing({ ...store, publish: published }, sending(queue))))
    }).pipe(Effect.provide(Queue), Logger.withMinimumLogLevel(LogLevel.None)))

  it.scoped("keeps two with one idempotency key apart: the second is answered what the first was, or refused", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("twice")
      const { groups, open, store } = yield* gated
      yield* Effect.gen(function*() {
        yield* occupied(client, groups)
        const requests = [
          yield* keyed(client, "k", "a"),
          yield* keyed(client, "k", "a"),
          yield* keyed(client, "k", "b")
        ]
        const waiting = yield* Effect.forEach(requests, (one) => Effect.fork(commit(one)))
        yield* Effect.yieldNow()
        yield* open
        const [first, same, different] = yield* Effect.forEach(waiting, Fiber.await)
        assert(first !== undefined && Exit.isSuccess(first))
        assert.deepStrictEqual(same, Exit.succeed({ ...first.value, waiting: [], circuitOpen: [] }))
        assert.deepStrictEqual(different, Exit.fail(new IdempotencyConflict({ key: "k" })))
      }).pipe(Effect.provide(committing(store)))
    }))

  it.scoped("a request that the statement dies of takes no other with it, and not the actor either", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("poison")
      const { groups, open, store } = yield* gated
      yield* Effect.gen(function*() {
        yield* occupied(client, groups)
        // Postgres takes no U+0000 in text: what hands one over is broken.
        const requests = [yield* request(client), yield* request(client, {}, "\0"), yield* request(client)]
        const waiting = yield* Effect.forEach(requests, (one) => Effect.fork(commit(one)))
        yield* Effect.yieldNow()
        yield* open
        const exits = yield* Effect.forEach(waiting, Fiber.await)
        assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true])
        const supervisor = yield* Supervisor
        assert.deepStrictEqual((yield* supervisor.actors).map(({ restarts, state }) => [restarts, state]), [[
          0,
          "running"
        ]])
        yield* Effect.flatMap(request(client), commit)
      }).pipe(Effect.provide(committing(store)))
    }))

  it.scoped("a bug that none of the requests is to blame for is seen, and none suffers from it", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("bug")
      const store = yield* EventStore
      const dies = yield* Ref.make(true)
      const buggy: typeof store.publish = (requests, lease) =>
        Effect.flatMap(
          Ref.getAndSet(dies, false),
          (now) => now ? Effect.dieMessage("a bug") : store.publish(requests, lease)
        )
      yield* Effect.gen(function*() {
        yield* Effect.flatMap(request(client), commit)
        const supervisor = yield* Supervisor
        yield* eventually(supervisor.actors, ([actor]) => actor?.restarts === 1 && actor.state === "running")
        yield* Effect.flatMap(request(client), commit)
      }).pipe(Effect.provide(committing({ ...store, publish: buggy })))
    }))

  it.scoped("while the database is away, all who share the statement learn of it", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("away")
      const away = new PersistenceError({ operation: "EventStore.publish", cause: "away" })
      const store = yield* EventStore
      yield* Effect.gen(function*() {
        const requests = yield* Effect.replicateEffect(request(client), 5)
        const exits = yield* Effect.forEach(requests, (one) => Effect.exit(commit(one)), { concurrency: "unbounded" })
        assert.deepStrictEqual(exits, Array.from(exits, () => Exit.fail(away)))
      }).pipe(Effect.provide(committing({ ...store, publish: () => Effect.fail(away) })))
    }))

  it.scoped("does not commit for a publisher that is gone, and at the end commits what is left", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("left")
      const { groups, open, store } = yield* gated
      const [gone, left] = [yield* request(client), yield* request(client)]
      const answered = yield* Effect.gen(function*() {
        yield* occupied(client, groups)
        const leaving = yield* Effect.fork(commit(gone))
        const staying = yield* Effect.forkDaemon(commit(left))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(leaving)
        yield* Effect.forkDaemon(open)
        return staying
      }).pipe(Effect.provide(committing(store)))
      yield* Fiber.join(answered)
      const found = (id: Ids.EventId) => Effect.map(store.find(Stores.everyone, id), Option.isSome)
      assert.deepStrictEqual([yield* found(gone.events[0].id), yield* found(left.events[0].id)], [false, true])
    }))
})
