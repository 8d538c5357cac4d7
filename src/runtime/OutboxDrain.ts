/**
 * Publishes what is in the outbox: the service's own notices, and the events of a platform that shares the database. A row
 * that is no event is set aside, one that could not be published now comes again by itself, and neither keeps the others.
 */
import { partition } from "effect/Array"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Caller } from "../domain/Client.ts"
import { EventTypeName } from "../domain/EventType.ts"
import { ClientId } from "../domain/Ids.ts"
import * as Json from "../domain/Json.ts"
import { Invalid, type Refusal } from "../domain/Refusal.ts"
import { Outbox, type OutboxRow } from "../persistence/Outbox.ts"
import { defaultClient } from "../service/Access.ts"
import * as Checked from "../service/Checked.ts"
import { WebhookService } from "../service/WebhookService.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { type Signal, Signals } from "../telemetry/Signals.ts"

/** Whoever writes to the database may publish for every client. */
const platform: Caller = { keyId: null, clientId: defaultClient, role: "operator", address: null }

/** Events that are committed at once, beside what comes over the bus and HTTP. */
const eventsAtOnce = 16

/** Nobody waits for notices, and where many endpoints fail together, there are many. */
const noticesAtOnce = 4

export const make = (options: { readonly pollInterval: Duration.DurationInput }) =>
  Effect.gen(function*() {
    const round = yield* makeRound
    const wakeups = yield* makeWakeups

    const poll = Queue.offer(wakeups, undefined).pipe(
      Effect.repeat(Schedule.spaced(options.pollInterval).pipe(Schedule.jittered)),
      Effect.zipRight(Effect.never)
    )
    const drain = Queue.take(wakeups).pipe(
      Effect.zipRight(Effect.repeat(round, { while: (claimed) => claimed > 0 })),
      Effect.catchTag("PersistenceError", (error) =>
        Effect.logWarning("the outbox was not read, the next poll tries again", error)),
      Effect.forever
    )
    return Effect.zipRight(Effect.zip(drain, poll, { concurrent: true }), Effect.never)
  })

/** One place for a wake-up to wait in: however many come mean the same, look again. */
const makeWakeups = Effect.gen(function*() {
  const wakeups = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
  const signals = yield* Stream.fromPubSub(yield* Signals, { scoped: true })
  yield* signals.pipe(
    Stream.filter(mayHaveFilled),
    Stream.runForEach(() => Queue.offer(wakeups, undefined)),
    Effect.forkScoped
  )
  return wakeups
})

/** A delivery that failed for good may have left a notice. */
const mayHaveFilled = (signal: Signal): boolean =>
  signal._tag === "OutboxFilled" || (signal._tag === "AttemptRecorded" && signal.status === "failed_permanent")

interface Round {
  isDatabaseAway: boolean
}

/** It comes again. */
const leftAlone = Effect.succeed(Exit.succeed(Option.none<string>()))

/** Claims some rows and publishes them; answers how many. Not to be left half done: it is short. */
const makeRound = Effect.gen(function*() {
  const outbox = yield* Outbox
  const publish = yield* makePublish

  const settle = (round: Round, row: OutboxRow) => {
    const { clientId, eventType, id } = row
    return publish(row).pipe(
      Effect.as(Option.some(id)),
      Effect.catchAll((error) => error._tag === "PersistenceError" ? Effect.fail(error) : setAside(id, error)),
      Effect.catchTag(
        "PersistenceError",
        (error) => {
          round.isDatabaseAway = true
          return Effect.as(
            Effect.logWarning("a row of the outbox was not published, it comes again", error),
            Option.none()
          )
        }
      ),
      Effect.tapDefect((cause) => Effect.logError("a row of the outbox met a fault of ours, it comes again", cause)),
      Effect.annotateLogs({ outboxId: id, clientId, eventType }),
      Effect.exit
    )
  }

  const setAside = (id: string, refusal: Refusal) => {
    const reason = `${"code" in refusal ? `${refusal.code}: ` : ""}${refusal.message}`
    return outbox.refuse(id, reason).pipe(
      Effect.zipRight(Effect.logError("a row of the outbox is no event and was set aside", { reason })),
      Effect.zipRight(Metric.increment(Metrics.outboxRefused)),
      Effect.as(Option.none<string>())
    )
  }

  return Effect.uninterruptible(Effect.gen(function*() {
    // Idle polls would flood the traces.
    const rows = yield* Effect.withTracerEnabled(outbox.claim, false)
    const round: Round = { isDatabaseAway: false }
    const [events, notices] = partition(rows, ({ isNotice }) => isNotice)
    const settled = yield* Effect.zipWith(
      Effect.forEach(events, (row) => settle(round, row), { concurrency: eventsAtOnce }),
      // While the database is away each would wait for it in turn, and the end of the service for all of them.
      Effect.forEach(notices, (row) => Effect.suspend(() => round.isDatabaseAway ? leftAlone : settle(round, row)), {
        concurrency: noticesAtOnce
      }),
      (some, others) => [...some, ...others],
      { concurrent: true }
    )
    const published = settled.flatMap((exit) => Exit.isSuccess(exit) ? Option.toArray(exit.value) : [])
    if (published.length > 0) yield* outbox.remove(published)
    // A bug stays one, once the other rows are through.
    const bugs = settled.flatMap((exit) => Exit.isFailure(exit) ? [exit.cause] : [])
    if (bugs.length > 0) yield* Effect.failCause(bugs.reduce(Cause.parallel))
    return rows.length
  }))
})

/** The key makes it harmless to publish a row again whose deletion was not to be. */
const makePublish = Effect.map(WebhookService, (service) => (row: OutboxRow) =>
  Effect.gen(function*() {
    const clientId = yield* clientIdOf(row.clientId)
    const event = {
      clientId,
      eventType: yield* eventTypeOf(row.eventType),
      payload: yield* payloadOf(row),
      occurredAt: yield* momentOf(row)
    }
    const key = `outbox:${row.id}`
    return yield* row.isNotice
      ? service.notify(clientId, { ...event, about: row.about }, key)
      : service.publish(platform, event, key)
  }))

const clientIdOf = Checked.by("client_id", ClientId)
const eventTypeOf = Checked.by("event_type", EventTypeName)
const isObject = Schema.is(Json.JsonObject)

const payloadOf = ({ payload }: OutboxRow): Effect.Effect<Json.JsonObject, Invalid> =>
  payload === null
    ? Effect.fail(Invalid.one("payload", "payload_too_large", "more bytes than a request may have"))
    : Json.parse(payload).pipe(
      Effect.mapError(({ code, message }) => Invalid.one("payload", code, message)),
      Effect.filterOrFail(isObject, () => Invalid.one("payload", "invalid_value", "expected a JSON object"))
    )

/** Four digits of year, as everywhere. */
const { epochMillis: earliest } = DateTime.unsafeMake("0000-01-01T00:00:00.000Z")
const { epochMillis: latest } = DateTime.unsafeMake("9999-12-31T23:59:59.999Z")

const momentOf = ({ occurredAtMs }: OutboxRow): Effect.Effect<DateTime.Utc, Invalid> =>
  occurredAtMs >= earliest && occurredAtMs <= latest
    ? Effect.succeed(DateTime.unsafeMake(occurredAtMs))
    : Effect.fail(Invalid.one("occurred_at", "invalid_value", "expected a moment of the years 0 to 9999"))
