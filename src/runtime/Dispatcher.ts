/**
 * A fixed pool of fibers on the DeliveryQueue, one for each place of the Bulkhead, each sending one delivery at a time.
 * Waiting for work is interruptible; an attempt under way is not, so closing the layer lets every attempt end and its
 * outcome reach the OutcomeRecorder.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import { type Exchange, unsent } from "../domain/Attempt.ts"
import { type DeliveryFailure, RetryableFailure } from "../domain/DeliveryError.ts"
import * as Ids from "../domain/Ids.ts"
import { isThere } from "../persistence/AtOnce.ts"
import type { ClaimedDelivery } from "../persistence/Claim.ts"
import { DeliveryStore } from "../persistence/DeliveryStore.ts"
import type { Outcome } from "../persistence/Outcomes.ts"
import { Courier } from "../service/Courier.ts"
import * as AttemptMetrics from "../telemetry/AttemptMetrics.ts"
import * as Logs from "../telemetry/Logs.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Spans from "../telemetry/Spans.ts"
import * as TraceContext from "../telemetry/TraceContext.ts"
import type { End } from "../transport/WebhookClient.ts"
import { DeliveryQueue, remainingMs } from "./DeliveryQueue.ts"
import { LeaseKeeper } from "./LeaseKeeper.ts"
import { OutcomeRecorder } from "./OutcomeRecorder.ts"
import { Supervisor } from "./Supervisor.ts"
import * as Verdict from "./Verdict.ts"
import * as Worker from "./Worker.ts"

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
      const worker = yield* Worker.make(queue, yield* makeBegin(options, queue))
      const pool = Effect.all(Array.from({ length: options.concurrency }, () => worker), { concurrency: "unbounded" })
      yield* supervisor.supervise("Dispatcher", Effect.zipRight(pool, Effect.never))
      // At the end, before the attempts under way: others can send at once what waits here for its turn.
      yield* Effect.addFinalizer(() => queue.giveBack)
    })
  )

/** The attempt at a delivery, from its lease to what the OutcomeRecorder is handed, with clock and logger of a worker's fiber. */
const makeBegin = (options: DispatcherOptions, queue: DeliveryQueue["Type"]) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const courier = yield* Courier
    const recorder = yield* OutcomeRecorder
    const keeper = yield* LeaseKeeper
    const openSpan = yield* Spans.attempts

    const beginIn =
      (clock: Clock.Clock, isToldOfSuccess: boolean): Worker.Begin => ({ delivery, leaseEndsAt }, hand, goOn) => {
        const { attemptCount, id, traceparent, url, webhookId } = delivery
        const beganAt = clock.unsafeCurrentTimeNanos()
        // Whoever waited for long may not be the one who has it any more.
        if (remainingMs(leaseEndsAt, beganAt) < leaseMarginMs) {
          return goOn(() => Effect.as(giveBack(store, delivery), null))
        }
        const lease = keeper.keep(delivery, beganAt)
        hand.lease = lease
        Metrics.inflight.unsafeModify(1, [])
        const span = openSpan({ id, url, number: attemptCount + 1, traceparent }, beganAt)

        const conclude = (outcome: Outcome): Effect.Effect<number> => {
          const tookMs = Exit.succeed(Number(clock.unsafeCurrentTimeNanos() - beganAt) / 1e6)
          const isDelivered = outcome.status === "delivered"
          Metrics.inflight.unsafeModify(-1, [])
          queue.remember(webhookId, isDelivered)
          count(delivery, outcome, span, clock)
          const pending = { webhookId, outcome, lease }
          const isHandedOver = recorder.offer(pending)
          const isTold = !isDelivered || isToldOfSuccess
          if (isHandedOver && !isTold) return tookMs
          return (isTold ? Spans.within(span)(report(delivery, outcome)) : Effect.void).pipe(
            Effect.zipRight(isHandedOver ? Effect.void : recorder.record(pending)),
            Effect.zipRight(tookMs)
          )
        }
        const delivered = (exchange: Exchange) =>
          conclude(Verdict.delivered(delivery, exchange, clock.unsafeCurrentTimeMillis()))
        const fail = (failure: DeliveryFailure) =>
          Effect.flatMap(Verdict.failed(delivery, failure, options.retryPolicy), conclude)

        const end: End = (attempt) => {
          // A second word on it would be taken for one on the next.
          if (hand.lease !== lease) return
          goOn(() =>
            span === null && isThere(attempt)
              ? delivered(attempt.value)
              : Effect.matchCauseEffect(Spans.ends(span, endOf)(attempt), {
                onSuccess: delivered,
                onFailure: (cause) =>
                  Option.match(Cause.failureOption(cause), {
                    onSome: fail,
                    // A bug that one delivery brings out is that delivery's outcome, not the end of the pool.
                    onNone: () => Effect.flatMap(internalError(delivery, cause, clock.unsafeCurrentTimeMillis()), fail)
                  })
              })
          )
        }
        try {
          courier.begin(delivery, sentWith(options, delivery, span), clock, end)
        } catch (defect) {
          end(Effect.die(defect))
        }
      }
    return (fiber: Fiber.RuntimeFiber<unknown, unknown>) =>
      beginIn(Context.get(fiber.currentDefaultServices, Clock.Clock), Logs.isWanted(fiber, LogLevel.Info))
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
    ),
    Effect.annotateLogs(namesOf(delivery))
  )

/** What a line of the log says of whom it tells. */
const namesOf = ({ id, webhookId }: ClaimedDelivery) => ({ deliveryId: id, webhookId })

/** How the attempt ended, for its span. */
const endOf = (exit: Exit.Exit<Exchange, DeliveryFailure>): Spans.AttemptEnd =>
  Exit.match(exit, {
    onSuccess: ({ status }) => ({ status, result: "success" }),
    onFailure: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onNone: () => ({ status: null, result: "failure_retryable" }),
        onSome: (failure) => ({ status: failure.exchange.status, result: Verdict.resultOf(failure) })
      })
  })

const count = (
  { eventType, id, webhookId }: ClaimedDelivery,
  { errorClass, exchange, status }: Outcome,
  span: Spans.AttemptSpan,
  clock: Clock.Clock
): void => {
  AttemptMetrics.observe({
    webhookId,
    eventType,
    group: Metrics.statusGroup(exchange.status, errorClass),
    durationMs: exchange.durationMs,
    endToEndMs: status === "delivered" ? Math.max(0, clock.unsafeCurrentTimeMillis() - Ids.madeAt(id)) : null,
    span
  })
  if (status === "failed_retryable") Metrics.retriesScheduled.unsafeUpdate(1, [])
}

/** Tells of the attempt at the level that operators expect of each outcome. */
const report = (delivery: ClaimedDelivery, outcome: Outcome): Effect.Effect<void> => {
  const facts = factsOf(delivery, outcome)
  if (outcome.status === "delivered") return Effect.logInfo("delivered", facts)
  if (outcome.status === "failed_permanent") {
    const failed = Effect.logError("delivery failed for good", facts)
    return outcome.errorClass === "http_410"
      ? Effect.zipRight(Effect.logWarning(gone, namesOf(delivery)), failed)
      : failed
  }
  return Effect.logWarning("delivery failed, retry scheduled", { ...facts, delayMs: outcome.delayMs })
}

const factsOf = (delivery: ClaimedDelivery, { errorClass, errorMessage, exchange }: Outcome) => {
  const { durationMs, status } = exchange
  return { ...namesOf(delivery), eventId: delivery.eventId, status, errorClass, errorMessage, durationMs }
}

const gone = "webhook switched off: its endpoint says that it is gone"

const internalError = (delivery: ClaimedDelivery, cause: Cause.Cause<unknown>, startedAt: number) =>
  Effect.logError("attempt died", cause).pipe(
    Effect.annotateLogs(namesOf(delivery)),
    Effect.as(
      new RetryableFailure({
        class: "internal_error",
        message: "This service failed while it made the attempt; its operator has been told.",
        retryAfterMs: null,
        exchange: unsent(startedAt)
      })
    )
  )
