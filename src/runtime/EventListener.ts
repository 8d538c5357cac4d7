/**
 * Hands what is published on the EventBus to WebhookService, and announces what was committed; and takes in what others
 * put into the outbox.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import type { Caller } from "../domain/Client.ts"
import { defaultClient } from "../service/Access.ts"
import * as Checked from "../service/Checked.ts"
import { type BusRequest, EventBusPort } from "../service/EventBus.ts"
import { WebhookService } from "../service/WebhookService.ts"
import * as OutboxDrain from "./OutboxDrain.ts"
import { Supervisor } from "./Supervisor.ts"

/** The program around us may publish for every client. */
const program: Caller = { keyId: null, clientId: defaultClient, role: "operator", address: null }

export interface EventListenerOptions {
  /** Events of the bus that are committed at once. */
  readonly concurrency: number
  /** How often to look into the outbox, where nothing said that there is something. */
  readonly pollInterval: Duration.DurationInput
}

export const layer = (options: EventListenerOptions) =>
  Layer.scopedDiscard(
    Effect.gen(function*() {
      const { committed, requests } = yield* EventBusPort
      const service = yield* WebhookService
      const supervisor = yield* Supervisor
      const drain = yield* OutboxDrain.make(options)

      const publish = ({ clientId, eventType, idempotencyKey, occurredAt, payload, traceparent }: BusRequest) =>
        Effect.gen(function*() {
          const event = {
            clientId: clientId === undefined ? undefined : yield* Checked.clientId(clientId),
            eventType: yield* Checked.eventType(eventType),
            payload: yield* Checked.payload(payload),
            occurredAt,
            traceparent
          }
          const { replayed, ...published } = yield* service.publish(program, event, idempotencyKey)
          if (!replayed) {
            yield* PubSub.publish(committed, { clientId: clientId ?? defaultClient, eventType, payload, published })
          }
          return published
        })

      // The publisher waits for its answer: whatever happens here, a bug included, it gets one.
      const handle = (request: BusRequest) =>
        Effect.flatMap(Effect.exit(publish(request)), (exit) => Deferred.done(request.answer, exit))

      // Once the workers are gone, what was handed over is taken in all the same, and nobody hands over more.
      yield* Effect.addFinalizer(() =>
        Effect.gen(function*() {
          const left = new Array<BusRequest>()
          while (!(yield* Queue.isEmpty(requests))) left.push(...(yield* Queue.takeAll(requests)))
          yield* Queue.shutdown(requests)
          yield* Effect.forEach(left, handle, { concurrency: options.concurrency, discard: true })
        })
      )

      const worker = Effect.forever(
        Effect.uninterruptibleMask((restore) => Effect.flatMap(restore(Queue.take(requests)), handle))
      )
      const workers = Effect.all(Array.from({ length: options.concurrency }, () => worker), {
        concurrency: "unbounded"
      })
      yield* supervisor.supervise(
        "EventListener",
        Effect.zipRight(Effect.zip(workers, drain, { concurrent: true }), Effect.never)
      )
    })
  )
