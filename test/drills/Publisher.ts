/** A publisher as it should be: it never gives a batch up, and asks again with the same key until it is promised. */
import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest } from "@effect/platform"
import { Clock, Data, Duration, Effect, Schedule, Schema } from "effect"

export interface NewEvent {
  readonly event_type: string
  readonly payload: Readonly<Record<string, unknown>>
}

/** Where a request goes, and with whose key. */
export interface Target {
  readonly base: string
  readonly key: string
}

/** One request that was answered. */
export interface Answered {
  /** Epoch milliseconds of the question. */
  readonly at: number
  readonly tookMs: number
  readonly status: number
  readonly retryAfter: string | null
}

const Promised = Schema.parseJson(Schema.Struct({
  data: Schema.Array(Schema.Struct({
    event_id: Schema.String,
    deliveries: Schema.Array(Schema.Struct({ id: Schema.String }))
  }))
}))

class NotPromised extends Data.TaggedError("NotPromised")<{ readonly message: string }> {}

/** They pass, and whether the batch was taken is unknown: it is safe to ask again. */
const passing = new Set([429, 503])

const post = ({ base, key }: Target, events: ReadonlyArray<NewEvent>, idempotencyKey: string) =>
  HttpClientRequest.post(`${base}/api/events/batch`).pipe(
    HttpClientRequest.bearerToken(key),
    HttpClientRequest.setHeader("Idempotency-Key", idempotencyKey),
    HttpClientRequest.setBody(HttpBody.text(JSON.stringify({ events }), "application/json")),
    HttpClient.execute,
    Effect.flatMap(({ headers, status, text }) =>
      Effect.map(text, (text) => ({ status, text, retryAfter: headers["retry-after"] ?? null }))
    ),
    Effect.provide(FetchHttpClient.layer)
  )

export interface PublisherOptions {
  /** Asked before each request. */
  readonly target: Effect.Effect<Target>
  /** After which a request counts as unanswered. */
  readonly patience: Duration.DurationInput
}

export type Publisher = ReturnType<typeof make>

export const make = ({ patience, target }: PublisherOptions) => {
  const answered: Array<Answered> = []
  let unanswered = 0

  const ask = (events: ReadonlyArray<NewEvent>, idempotencyKey: string) =>
    Effect.gen(function*() {
      const at = yield* Clock.currentTimeMillis
      const [took, answer] = yield* post(yield* target, events, idempotencyKey).pipe(
        Effect.timeoutFail({ duration: patience, onTimeout: () => new NotPromised({ message: "no answer" }) }),
        Effect.tapError(() => Effect.sync(() => unanswered += 1)),
        Effect.timed
      )
      const { retryAfter, status, text } = answer
      answered.push({ at, tookMs: Duration.toMillis(took), status, retryAfter })
      if (passing.has(status)) return yield* new NotPromised({ message: `${status} ${text}` })
      // Anything else is a fault of the service, and asking again would not show it.
      if (status !== 202) return yield* Effect.dieMessage(`a batch was answered ${status} ${text}`)
      return (yield* Effect.orDie(Schema.decode(Promised)(text))).data
    })

  return {
    publish: (events: ReadonlyArray<NewEvent>, idempotencyKey: string) =>
      Effect.retry(ask(events, idempotencyKey), Schedule.spaced("50 millis")).pipe(Effect.orDie),
    answered: answered as ReadonlyArray<Answered>,
    unanswered: Effect.sync(() => unanswered)
  }
}
