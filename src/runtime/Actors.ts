/**
 * The supervision tree.
 *
 * An event comes in over HTTP or, through the EventListener, from the EventBus. WebhookService commits it with one
 * delivery for each webhook that wants it, and only then answers. From there on the rows are what counts; everything in
 * memory may be lost at any moment.
 *
 *   Scheduler        claims what is due, under a lease, as much as the DeliveryQueue has room for
 *   DeliveryQueue    bounded hand-over; when it is full, rows wait in Postgres
 *   Dispatcher       a pool of fibers, one attempt each
 *   OutcomeRecorder  writes attempts, deliveries and the webhooks' counters in batches, under the lease
 *   CleanupWorker    partitions ahead of time, old idempotency keys and secrets
 *   ReencryptionWorker  after a change of keys, seals what an older key sealed
 *
 * ```
 * Supervisor (one-for-one)
 * ├─ OutcomeRecorder    built first, stopped last
 * ├─ Dispatcher
 * ├─ Scheduler
 * ├─ CleanupWorker
 * ├─ ReencryptionWorker
 * └─ EventListener      built last, stopped first
 * ```
 *
 * The order below is the order of building, read bottom-up, and so the reverse of stopping: intake ends, claiming ends,
 * attempts under way finish, unsent deliveries go back, outcomes are written, and then the pools close. Whoever adds an
 * actor asks one question: which of the others must outlive it?
 */
import * as Layer from "effect/Layer"
import * as CleanupWorker from "./CleanupWorker.ts"
import { DeliveryQueue } from "./DeliveryQueue.ts"
import * as Dispatcher from "./Dispatcher.ts"
import * as EventListener from "./EventListener.ts"
import { OutcomeRecorder } from "./OutcomeRecorder.ts"
import * as ReencryptionWorker from "./ReencryptionWorker.ts"
import * as Scheduler from "./Scheduler.ts"
import type { BackoffPolicy } from "./Verdict.ts"

export interface ActorsOptions {
  /** False: events are taken in and kept, and nothing is sent. */
  readonly enabled: boolean
  readonly concurrency: number
  readonly queueCapacity: number
  readonly leaseSeconds: number
  readonly pollIntervalMs: number
  readonly retryPolicy: BackoffPolicy
}

export const layer = (options: ActorsOptions) =>
  EventListener.layer({ concurrency: options.concurrency }).pipe(
    Layer.provideMerge(ReencryptionWorker.layer),
    Layer.provideMerge(CleanupWorker.layer),
    Layer.provideMerge(options.enabled ? sending(options) : Layer.empty),
    Layer.provideMerge(DeliveryQueue.layer(options.queueCapacity)),
    Layer.provideMerge(OutcomeRecorder.layer)
  )

const sending = (options: ActorsOptions) =>
  Scheduler.layer({ pollInterval: options.pollIntervalMs, leaseSeconds: options.leaseSeconds }).pipe(
    Layer.provideMerge(Dispatcher.layer(options))
  )
