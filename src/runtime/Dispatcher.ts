/**
 * A fixed pool of fibers on the DeliveryQueue, one for each place of the Bulkhead, each sending one delivery at a time.
 * Waiting for work is interruptible; an attempt under way is not, so closing the layer lets every attempt end and its
 * outcome reach the OutcomeRecorder.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import { type Exchange, unsent } from "../domain/Attempt.ts"
import { type DeliveryFailure, RetryableFailure } from "../domain/DeliveryError.ts"
import * as Ids from "../domain/Ids.ts"
import type { ClaimedDelivery } from "../persistence/Claim.ts"
import { DeliveryStore } from "../persistence/DeliveryStore.ts"
import type { Outcome } from "../persistence/Outcomes.ts"
import { Courier } from "../service/Courier.ts"
import * as AttemptMetrics from "../telemetry/AttemptMetrics.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Spans from "../telemetry/Spans.ts"
import * as TraceContext from "../telemetry/TraceContext.ts"
import { Bulkhead } from "./Bulkhead.ts"
import { DeliveryQueue, type LeasedDelivery, remainingMs } from "./DeliveryQueue.ts"
import { LeaseKeeper } from "./LeaseKeeper.ts"
import { OutcomeRecorder } from "./OutcomeRecorder.ts"
import { Supervisor } from "./Supervisor.ts"
import * as Verdict from "./Verdict.ts"

export interface DispatcherOptions {
  /** Attempts under way at once. */
  readonly concurrency: number
  readonly retryPolicy: Verdict.BackoffPolicy
  /** Whether receivers are sent the context of the attempt's trace, or of the publisher's where it is not recorded. */
  readonly sendTraceparent?: boolean
}

/** What has to be left of a lease when an attempt begins: from then on the LeaseKeeper prolongs it. */
const leaseMarginMs = 2_000

export const layer = (options: DispatcherOptions) =>
  Layer.scopedDiscard(
    Effect.gen(function*() {
      const queue = yield* DeliveryQueue
      const supervisor = yield* Supervisor
      const send = yield* makeSend(options)
      const worker = Effect.forever(
        Effect.uninterruptibleMask((restore) => Effect.flatMap(restore(queue.take), (leased) => send(leased)))
      )
      const pool = Effect.all(Array.from({ length: options.concurrency }, () => worker), { concurrency: "unbounded" })
      yield* supervisor.supervise("Dispatcher", Effect.zipRight(pool, Effect.never))
    })
  )

const makeSend = (options: DispatcherOptions) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const courier = yield* Courier
    const recorder = yield* OutcomeRecorder
    const bulkhead = yield* Bulkhead
    const keeper = yield* LeaseKeeper
    const openSpan = yield* Spans.attempts

    const attempt = (delivery: ClaimedDelivery, span: Spans.AttemptSpan) =>
      courier.deliver({ ...delivery, deliveryId: delivery.id, traceparent: sentWith(options, delivery, span) }).pipe(
        // A bug that one delivery brings out is that delivery's outcome, not the end of the pool.
        Effect.catchAllDefect((defect) => Effect.zipRight(Effect.logError("attempt died", defect), internalError)),
        Spans.ends(span, endOf),
        Effect.matchEffect({
          onSuccess: (exchange) => Verdict.delivered(delivery, exchange),
          onFailure: (failure) => Verdict.failed(delivery, failure, options.retryPolicy)
        })
      )

    /** Answers how long the attempt took; null where none was made. */
    const send = (leased: LeasedDelivery) =>
      Effect.gen(function*() {
        const { delivery } = leased
        // Whoever waited for long may not be the one who has it any more.
        if ((yield* remainingMs(leased)) < leaseMarginMs) {
          yield* giveBack(store, delivery)
          return null
        }
        yield* keeper.keep(delivery)
        yield* Metric.modify(Metrics.inflight, 1)
        const { attemptCount, id, traceparent, url } = delivery
        const span = yield* openSpan({ id, url, number: attemptCount + 1, traceparent })
        const [took, outcome] = yield* Effect.timed(attempt(delivery, span))
        yield* Metric.modify(Metrics.inflight, -1)
        yield* Spans.within(span)(report(delivery, outcome, span))
        yield* recorder.record({ webhookId: delivery.webhookId, outcome })
        return Duration.toMillis(took)
      })

    return (leased: LeasedDelivery) => {
      const { id, webhookId } = leased.delivery
      return send(leased).pipe(
        Effect.tap((attemptMs) => bulkhead.leave(webhookId, attemptMs)),
        // No outcome will come: its lease is left to end.
        Effect.tapErrorCause(() => Effect.zipRight(keeper.drop(id), bulkhead.leave(webhookId, null))),
        Effect.annotateLogs({ deliveryId: id, webhookId })
      )
    }
  })

const sentWith = (
  { sendTraceparent = false }: DispatcherOptions,
  { traceparent }: ClaimedDelivery,
  span: Spans.AttemptSpan
): string | null => {
  if (!sendTraceparent) return null
  return span === null ? traceparent : TraceContext.format(span)
}

const giveBack = (store: Context.Tag.Service<DeliveryStore>, delivery: ClaimedDelivery) =>
  store.release([delivery]).pipe(
    Effect.catchTag(
      "PersistenceError",
      (error) => Effect.logWarning("delivery not given back; it is due again when its lease ends", error)
    )
  )

/** How the attempt ended, for its span; null where it was broken off. */
const endOf = (exit: Exit.Exit<Exchange, DeliveryFailure>): Spans.AttemptEnd | null =>
  Exit.match(exit, {
    onSuccess: ({ status }) => ({ status, result: "success" }),
    onFailure: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onNone: () => null,
        onSome: (failure) => ({ status: failure.exchange.status, result: Verdict.resultOf(failure) })
      })
  })

/** Logs and counts, at the levels that operators expect of each outcome. */
const report = (
  { eventId, eventType, id, webhookId }: ClaimedDelivery,
  { delayMs, errorClass, errorMessage, exchange, status }: Outcome,
  span: Spans.AttemptSpan
) =>
  Effect.gen(function*() {
    const group = Metrics.statusGroup(exchange.status, errorClass)
    const endToEndMs = status === "delivered" ? Math.max(0, (yield* Clock.currentTimeMillis) - Ids.madeAt(id)) : null
    AttemptMetrics.observe({ webhookId, eventType, group, durationMs: exchange.durationMs, endToEndMs, span })
    const facts = { eventId, status: exchange.status, errorClass, errorMessage, durationMs: exchange.durationMs }
    if (status === "delivered") return yield* Effect.logInfo("delivered", facts)
    if (errorClass === "http_410") yield* Effect.logWarning("webhook switched off: its endpoint says that it is gone")
    if (status === "failed_permanent") return yield* Effect.logError("delivery failed for good", facts)
    yield* Metric.increment(Metrics.retriesScheduled)
    yield* Effect.logWarning("delivery failed, retry scheduled", { ...facts, delayMs })
  })

const internalError = Effect.flatMap(Clock.currentTimeMillis, (startedAt) =>
  Effect.fail(
    new RetryableFailure({
      class: "internal_error",
      message: "This service failed while it made the attempt; its operator has been told.",
      retryAfterMs: null,
      exchange: unsent(startedAt)
    })
  ))
