/**
 * The supervision tree.
 *
 * An event comes in over HTTP or, through the EventListener, from the EventBus or the outbox. WebhookService commits it with one
 * delivery for each webhook that wants it, and only then answers. From there on the rows are what counts; everything in
 * memory may be lost at any moment.
 *
 *   GroupCommit      commits what is published at the same moment in one statement, and leases what there is room for
 *   Bulkhead         how many deliveries may be in hand, in all and of each webhook
 *   Scheduler        claims what is due, under a lease, as much as the Bulkhead has room for
 *   DeliveryQueue    the hand-over; what there is no room for waits in Postgres
 *   Dispatcher       a pool of fibers, one attempt each
 *   LeaseKeeper      prolongs the leases of what is in hand
 *   OutcomeRecorder  writes attempts, deliveries and the webhooks' counters in batches, under the lease; decides on circuits
 *   Monitor          switches off what keeps failing, raises and ends alerts
 *   AutoHealing      pings what was switched off for failures, and switches it on when it answers
 *   HealthCheckWorker  pings what heard nothing from us for a while
 *   Wakeups          tells other nodes what was committed here, and hears it of them
 *   ChangeListener   forgets what was read of keys, clients and event types when they change anywhere
 *   CleanupWorker    partitions ahead of time and past the retention, old idempotency keys and secrets
 *   AlertMailer      mails alerts to those who are to know of them, where there is a server for mail
 *   Sampler          keeps the gauges that the database alone can tell
 *   ReencryptionWorker  after a change of keys, seals what an older key sealed
 *
 * ```
 * Supervisor (one-for-one)
 * ├─ GroupCommit        built first, stopped last
 * ├─ LeaseKeeper
 * ├─ OutcomeRecorder
 * ├─ Dispatcher
 * ├─ Scheduler
 * ├─ AutoHealing
 * ├─ HealthCheckWorker
 * ├─ Monitor
 * ├─ Wakeups
 * ├─ ChangeListener
 * ├─ CleanupWorker
 * ├─ AlertMailer        only where mail is sent
 * ├─ Sampler
 * ├─ ReencryptionWorker
 * └─ EventListener      built last, stopped first
 * ```
 *
 * The order below is the order of building, read bottom-up, and so the reverse of stopping: intake ends, claiming ends,
 * attempts under way finish, unsent deliveries go back, outcomes are written, and then the pools close. Whoever adds an
 * actor asks one question: which of the others must outlive it?
 */
import type * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Mailer, type MailerOptions } from "../transport/Mailer.ts"
import * as AlertMailer from "./AlertMailer.ts"
import * as AutoHealing from "./AutoHealing.ts"
import { Bulkhead } from "./Bulkhead.ts"
import * as ChangeListener from "./ChangeListener.ts"
import * as CleanupWorker from "./CleanupWorker.ts"
import { DeliveryQueue } from "./DeliveryQueue.ts"
import * as Dispatcher from "./Dispatcher.ts"
import * as EventListener from "./EventListener.ts"
import * as GroupCommit from "./GroupCommit.ts"
import * as HealthCheckWorker from "./HealthCheckWorker.ts"
import { LeaseKeeper } from "./LeaseKeeper.ts"
import * as Monitor from "./Monitor.ts"
import { OutcomeRecorder } from "./OutcomeRecorder.ts"
import * as ReencryptionWorker from "./ReencryptionWorker.ts"
import * as Sampler from "./Sampler.ts"
import * as Scheduler from "./Scheduler.ts"
import type { BackoffPolicy } from "./Verdict.ts"
import * as Wakeups from "./Wakeups.ts"

export interface ActorsOptions extends Monitor.MonitorOptions {
  /** False: events are taken in and kept, and nothing is sent. */
  readonly enabled: boolean
  /** Attempts under way at once, in all and to one webhook. */
  readonly concurrency: number
  readonly concurrencyPerWebhook: number
  /** Whether receivers are sent the context of the attempt's trace. */
  readonly sendTraceparent?: boolean
  readonly leaseSeconds: number
  readonly pollIntervalMs: number
  readonly retryPolicy: BackoffPolicy
  /** Whole days for which events, deliveries and attempts are kept. */
  readonly retentionDays: number
  /** How long an endpoint may hear nothing before it is pinged; zero for ever. */
  readonly healthCheckInterval: Duration.DurationInput
  /** None: no mail is sent. */
  readonly mail: Option.Option<MailerOptions>
}

/** Events of the bus that are committed at once: these wait for the database, not for receivers. */
const publishing = 64

export const layer = (options: ActorsOptions) =>
  EventListener.layer({ concurrency: publishing, pollInterval: options.pollIntervalMs }).pipe(
    Layer.provideMerge(ReencryptionWorker.layer),
    Layer.provideMerge(Sampler.layer),
    Layer.provideMerge(Option.match(options.mail, { onNone: () => Layer.empty, onSome: mailing })),
    Layer.provideMerge(CleanupWorker.layer(options)),
    Layer.provideMerge(ChangeListener.layer),
    Layer.provideMerge(Wakeups.layer),
    Layer.provideMerge(Monitor.layer(options)),
    Layer.provideMerge(options.enabled ? pinging(options) : Layer.empty),
    Layer.provideMerge(options.enabled ? sending(options) : Layer.empty),
    Layer.provideMerge(OutcomeRecorder.layer),
    Layer.provideMerge(LeaseKeeper.layer(options))
  )

const pinging = ({ healthCheckInterval }: ActorsOptions) =>
  HealthCheckWorker.layer({ interval: healthCheckInterval }).pipe(Layer.provideMerge(AutoHealing.layer))

/** How often to look whether there is an alert to mail: those that come together go together. */
const mailInterval = "10 seconds"

const mailing = (options: MailerOptions) =>
  AlertMailer.layer({ interval: mailInterval }).pipe(Layer.provide(Mailer.layer(options)))

const sending = (options: ActorsOptions) =>
  Scheduler.layer({ pollInterval: options.pollIntervalMs, leaseSeconds: options.leaseSeconds }).pipe(
    Layer.provideMerge(Dispatcher.layer(options))
  )

/** What publishers and the Dispatcher share: below both, so that it outlives both. */
export const layerHandOver = (options: ActorsOptions) =>
  (options.enabled ? GroupCommit.layer(options) : GroupCommit.layerUnsent).pipe(
    Layer.provideMerge(DeliveryQueue.layer),
    Layer.provideMerge(Bulkhead.layer({ places: options.concurrency, placesPerWebhook: options.concurrencyPerWebhook }))
  )
