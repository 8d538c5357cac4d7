import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, PubSub, Queue, Stream, TestClock } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import { Notifications } from "../../src/persistence/Notifications.ts"
import { PersistenceError } from "../../src/persistence/Postgres.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import * as Wakeups from "../../src/runtime/Wakeups.ts"
import { Signal, Signals } from "../../src/telemetry/Signals.ts"
import { claimed } from "../support/Deliveries.ts"

const away = new PersistenceError({ operation: "Notifications.listen", cause: "away" })

type Heard = Notifications["Type"]["listen"]
type Sent = ReadonlyArray<Ids.WebhookId>

/** The actor over a channel of which everything is seen. */
const wakeups = ({ listen = Stream.never, send = () => Effect.void }: Partial<Notifications["Type"]> = {}) =>
  Effect.gen(function*() {
    const sent = yield* Queue.unbounded<Sent>()
    const said = yield* Queue.unbounded<string>()
    const logger = Logger.make(({ message }) =>
      Queue.unsafeOffer(said, String(Array.isArray(message) ? message[0] : message))
    )
    const layer = Wakeups.layer.pipe(
      Layer.provide(Layer.succeed(Notifications, {
        listen,
        send: (webhooks) => Effect.zipRight(Queue.offer(sent, webhooks), send(webhooks))
      })),
      Layer.provideMerge(Layer.merge(Signals.layer, Supervisor.layer)),
      Layer.provide(Logger.replace(Logger.defaultLogger, logger))
    )
    return { layer, said, sent }
  })

const someWebhooks = (count: number) => Effect.replicateEffect(Ids.make("WebhookId"), count)

const publish = (signal: Signal) => Effect.flatMap(Signals, (signals) => PubSub.publish(signals, signal))

const arrived = (...webhookIds: Sent) => publish(Signal.WorkArrived({ webhookIds }))

/** What is gathered now is sent. */
const gathered = TestClock.adjust("50 millis")

const stillRunning = Effect.gen(function*() {
  const [actor] = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
  assert.deepInclude(actor, { name: "Wakeups", state: "running", restarts: 0 })
})

describe("Wakeups", () => {
  it.scoped("say in one notification what arrived within 50 ms, each webhook once", () =>
    Effect.gen(function*() {
      const { layer, sent } = yield* wakeups()
      yield* Effect.gen(function*() {
        const [a, b, c] = yield* Effect.all([Ids.make("WebhookId"), Ids.make("WebhookId"), Ids.make("WebhookId")])
        yield* arrived(a, b)
        yield* TestClock.adjust("30 millis")
        yield* arrived(b, c)
        assert.strictEqual(yield* Queue.size(sent), 0)
        yield* TestClock.adjust("20 millis")
        assert.deepStrictEqual(yield* Queue.take(sent), [a, b, c])
        yield* arrived(c)
        yield* gathered
        assert.deepStrictEqual(yield* Queue.take(sent), [c])
        assert.strictEqual(yield* Queue.size(sent), 0)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("say nothing of what other nodes said, of attempts, and of events that nobody wanted", () =>
    Effect.gen(function*() {
      const { layer, sent } = yield* wakeups()
      yield* Effect.gen(function*() {
        const webhooks = yield* someWebhooks(2)
        const { id: deliveryId, webhookId } = yield* claimed()
        yield* publish(Signal.WorkAnnounced({ webhookIds: webhooks }))
        yield* publish(Signal.WorkAnnounced({ webhookIds: [] }))
        yield* publish(Signal.AttemptRecorded({ deliveryId, webhookId, status: "delivered" }))
        yield* arrived()
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Queue.size(sent), 0)
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("go on after a notification that could not be sent", () =>
    Effect.gen(function*() {
      const { layer, sent } = yield* wakeups({ send: () => Effect.fail(away) })
      yield* Effect.gen(function*() {
        for (const webhook of yield* someWebhooks(3)) {
          yield* arrived(webhook)
          yield* gathered
          assert.deepStrictEqual(yield* Queue.take(sent), [webhook])
        }
        yield* stillRunning
      }).pipe(Effect.provide(layer))
    }))

  it.scoped("announce what they hear, and listen again after a pause that grows where they cannot", () =>
    Effect.gen(function*() {
      const webhooks = yield* someWebhooks(2)
      const listened = yield* Queue.unbounded<void>()
      const listen: Heard = Stream.fromEffect(Queue.offer(listened, undefined)).pipe(
        Stream.flatMap(() => Stream.concat(Stream.make<[Sent, Sent]>([], webhooks), Stream.fail(away)))
      )
      const { layer, said } = yield* wakeups({ listen })
      yield* Effect.gen(function*() {
        const signals = yield* PubSub.subscribe(yield* Signals)
        for (const pause of [120, 240, 480]) {
          yield* Queue.take(listened)
          assert.strictEqual(yield* Queue.take(said), "other nodes are not heard, polling goes on")
          assert.strictEqual(yield* Queue.size(listened), 0)
          yield* TestClock.adjust(pause)
          assert.deepStrictEqual(Array.from(yield* Queue.takeN(signals, 2)), [
            Signal.WorkAnnounced({ webhookIds: [] }),
            Signal.WorkAnnounced({ webhookIds: webhooks })
          ])
        }
        yield* stillRunning
      }).pipe(Effect.provide(layer))
    }))
})
