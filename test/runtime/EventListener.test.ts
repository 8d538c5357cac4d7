import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Chunk,
  DateTime,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Queue,
  Ref,
  Scope,
  Stream,
  TestClock
} from "effect"
import { EventTypeName } from "../../src/domain/EventType.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { Conflict, Invalid } from "../../src/domain/Refusal.ts"
import { Outbox } from "../../src/persistence/Outbox.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import * as EventListener from "../../src/runtime/EventListener.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { EventBus, EventBusPort } from "../../src/service/EventBus.ts"
import type { Receipt } from "../../src/service/Intake.ts"
import { WebhookService } from "../../src/service/WebhookService.ts"
import { Signals } from "../../src/telemetry/Signals.ts"

type Publish = WebhookService["Type"]["publish"]

const emptyOutbox = Layer.merge(Layer.mock(Outbox, { claim: Effect.succeed([]) }), Signals.layer)

const bus = (publish: Publish, concurrency = 2) =>
  Layer.merge(EventListener.layer({ concurrency, pollInterval: "1 hour" }), EventBus.layer).pipe(
    Layer.provideMerge(EventBusPort.layer),
    Layer.provide(Layer.mock(WebhookService, { publish })),
    Layer.provide(emptyOutbox),
    Layer.provideMerge(Supervisor.layer)
  )

const published: Effect.Effect<Receipt> = Effect.map(
  Ids.make("EventId"),
  (eventId) => ({ eventId, deliveries: [], replayed: false })
)

const publish = (...args: Parameters<EventBus["Type"]["publish"]>) =>
  Effect.flatMap(EventBus, (eventBus) => eventBus.publish(...args))

/** What subscribers of these see from now on. */
const seen = (...subscriptions: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const events = yield* Queue.unbounded<string>()
    yield* Effect.flatMap(EventBus, (eventBus) =>
      eventBus.subscribe(...subscriptions).pipe(
        Stream.runForEach(({ eventType, payload }) => Queue.offer(events, `${eventType} ${JSON.stringify(payload)}`))
      )).pipe(Effect.forkScoped)
    yield* TestClock.adjust("1 millis")
    const all = Effect.zipRight(TestClock.adjust("1 millis"), Effect.map(Queue.takeAll(events), Chunk.toReadonlyArray))
    return { all }
  })

const restarts = Effect.flatMap(
  Supervisor,
  (supervisor) => Effect.map(supervisor.actors, (actors) => actors.map(({ name, restarts }) => [name, restarts]))
)

describe("the EventBus", () => {
  it.scoped("answers what was committed", () =>
    Effect.gen(function*() {
      const answer = yield* published
      const got = yield* Effect.provide(publish("deal.won", { n: 1 }), bus(() => Effect.succeed(answer)))
      assert.deepStrictEqual(got, { eventId: answer.eventId, deliveries: answer.deliveries })
    }))

  it.scoped("announces nothing where the key had been answered before", () =>
    Effect.gen(function*() {
      const answer = yield* published
      yield* Effect.gen(function*() {
        const { all } = yield* seen("*")
        yield* publish("deal.won", { n: 1 }, { idempotencyKey: "again" })
        assert.deepStrictEqual(yield* all, [])
      }).pipe(Effect.provide(bus(() => Effect.succeed({ ...answer, replayed: true }))))
    }))

  it.scoped("publishes as the program around it, for the client that is named", () =>
    Effect.gen(function*() {
      const calls = yield* Queue.unbounded<Parameters<Publish>>()
      const occurredAt = DateTime.unsafeMake(7)
      const layer = bus((...args) => Effect.zipRight(Queue.offer(calls, args), published))
      yield* Effect.gen(function*() {
        yield* publish("deal.won", { n: 1 }, { clientId: "acme", occurredAt, idempotencyKey: "k" })
        const [caller, event, key] = yield* Queue.take(calls)
        assert.deepStrictEqual({ ...caller }, {
          keyId: null,
          clientId: Ids.ClientId.make("default"),
          role: "operator",
          address: null
        })
        assert.deepInclude(event, {
          clientId: Ids.ClientId.make("acme"),
          eventType: EventTypeName.make("deal.won"),
          occurredAt
        })
        assert.strictEqual(JSON.stringify(event.payload), `{"n":1}`)
        assert.strictEqual(key, "k")
        yield* publish("deal.lost", {})
        const [, plain, noKey] = yield* Queue.take(calls)
        assert.isUndefined(plain.clientId)
        assert.isUndefined(noKey)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("refuses what is no event before anybody is asked", () =>
    Effect.gen(function*() {
      const cases = [
        ["eventType", publish("deal won", {})],
        ["payload", publish("deal.won", { n: Number.NaN })],
        ["clientId", publish("deal.won", {}, { clientId: "a b" })]
      ] as const
      for (const [path, attempt] of cases) {
        const refusal = yield* Effect.flip(Effect.provide(attempt, bus(() => Effect.dieMessage("it was asked"))))
        assert(refusal instanceof Invalid)
        assert.strictEqual(refusal.issues[0].path, path)
      }
    }))

  it.scoped("hands a refusal and an outage to the publisher, and goes on", () =>
    Effect.gen(function*() {
      const failures = [
        new Conflict({ code: "idempotency_key_reused", message: "used" }),
        new PersistenceError({ operation: "EventStore.publish", cause: "away" })
      ]
      for (const failure of failures) {
        const answer = yield* published
        const first = yield* Ref.make(true)
        const layer = bus(() =>
          Effect.flatMap(Ref.getAndSet(first, false), (failing) =>
            failing ? Effect.fail(failure) : Effect.succeed(answer))
        )
        yield* Effect.gen(function*() {
          assert.strictEqual(yield* Effect.flip(publish("deal.won", {})), failure)
          assert.strictEqual((yield* publish("deal.won", {})).eventId, answer.eventId)
          assert.deepStrictEqual(yield* restarts, [["EventListener", 0]])
        }).pipe(Effect.provide(layer))
      }
    }))

  it.scoped("answers the publisher also when the service has a bug, and the listener lives on", () =>
    Effect.gen(function*() {
      const first = yield* Ref.make(true)
      const layer = bus(
        () => Effect.flatMap(Ref.getAndSet(first, false), (dying) => dying ? Effect.dieMessage("a bug") : published),
        1
      )
      yield* Effect.gen(function*() {
        const exit = yield* Effect.exit(publish("deal.won", {}))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        yield* publish("deal.won", {})
        assert.deepStrictEqual(yield* restarts, [["EventListener", 0]])
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("shows an event to subscribers once it is committed, and not before", () =>
    Effect.gen(function*() {
      const commit = yield* Deferred.make<void>()
      const layer = bus(() => Effect.zipRight(Deferred.await(commit), published))
      yield* Effect.gen(function*() {
        const events = yield* seen("*")
        const publisher = yield* Effect.fork(publish("deal.won", { n: 1 }))
        assert.deepStrictEqual(yield* events.all, [])
        yield* Deferred.succeed(commit, undefined)
        yield* Fiber.join(publisher)
        assert.deepStrictEqual(yield* events.all, [`deal.won {"n":1}`])
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("shows subscribers the types that they asked for, and nothing that was refused", () =>
    Effect.gen(function*() {
      const refused = new Conflict({ code: "idempotency_key_reused", message: "used" })
      const layer = bus((_, { payload }) => payload["refuse"] === true ? Effect.fail(refused) : published)
      yield* Effect.gen(function*() {
        const [won, deals, both, all] = yield* Effect.all([
          seen("deal.won"),
          seen("deal.*"),
          seen("deal.won", "lead.created", "lead.*"),
          seen("*")
        ])
        for (const type of ["deal.won", "deal.lost", "lead.created", "dealer.won"]) yield* publish(type, {})
        yield* Effect.flip(publish("deal.won", { refuse: true }))
        assert.deepStrictEqual(yield* won.all, ["deal.won {}"])
        assert.deepStrictEqual(yield* deals.all, ["deal.won {}", "deal.lost {}"])
        assert.deepStrictEqual(yield* both.all, ["deal.won {}", "lead.created {}"])
        assert.lengthOf(yield* all.all, 4)
      }).pipe(Effect.provide(layer))
    }))
})

describe("EventListener", () => {
  it.scoped("works on as many events at once as it may", () =>
    Effect.gen(function*() {
      const [now, most] = [yield* Ref.make(0), yield* Ref.make(0)]
      const layer = bus(() =>
        Effect.gen(function*() {
          const count = yield* Ref.updateAndGet(now, (n) => n + 1)
          yield* Ref.update(most, (before) => Math.max(before, count))
          yield* Effect.sleep("1 second")
          yield* Ref.update(now, (n) => n - 1)
          return yield* published
        }), 3)
      yield* Effect.gen(function*() {
        const publishers = yield* Effect.fork(Effect.replicateEffect(publish("deal.won", {}), 7, { concurrency: 7 }))
        yield* TestClock.adjust("3 seconds")
        assert.lengthOf(yield* Fiber.join(publishers), 7)
        assert.strictEqual(yield* Ref.get(most), 3)
      }).pipe(Effect.provide(layer))
    }))

  it.effect("answers every event that was handed over before it closes", () =>
    Effect.gen(function*() {
      const commits = yield* Ref.make(0)
      const layer = bus(() =>
        Effect.sleep("1 second").pipe(
          Effect.zipRight(Ref.update(commits, (n) => n + 1)),
          Effect.zipRight(published)
        ), 1)
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layer, scope)
      const publishers = yield* Effect.replicateEffect(publish("deal.won", {}), 4, { concurrency: 4 }).pipe(
        Effect.provide(context),
        Effect.fork
      )
      yield* TestClock.adjust("500 millis")
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(closing)
      assert.strictEqual(yield* Ref.get(commits), 4)
      const answered = yield* Fiber.poll(publishers)
      assert.isTrue(Option.isSome(answered) && Exit.isSuccess(answered.value))
    }))

  it.scoped("lets nobody wait who publishes once it is closed, while the bus itself is still there", () =>
    Effect.gen(function*() {
      const port = yield* Layer.build(Layer.provideMerge(EventBus.layer, EventBusPort.layer))
      const scope = yield* Scope.make()
      const listener = EventListener.layer({ concurrency: 1, pollInterval: "1 hour" }).pipe(
        Layer.provide(Layer.mock(WebhookService, { publish: () => published })),
        Layer.provide(emptyOutbox),
        Layer.provide(Supervisor.layer)
      )
      yield* Layer.buildWithScope(listener, scope).pipe(Effect.provide(port))
      yield* Effect.provide(publish("deal.won", {}), port)
      yield* Scope.close(scope, Exit.void)
      const late = yield* Effect.fork(Effect.provide(publish("deal.won", {}), port))
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.poll(late)
      assert.isTrue(Option.isSome(exit) && Exit.isInterrupted(exit.value))
    }))
})
