import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Either, Schema } from "effect"
import { unsent } from "../../src/domain/Attempt.ts"
import * as Delivery from "../../src/domain/Delivery.ts"
import { type DeliveryFailure, PermanentFailure, RetryableFailure } from "../../src/domain/DeliveryError.ts"
import { EventTypeName } from "../../src/domain/EventType.ts"
import { AttemptId, ClientId, DeliveryId, EventId, WebhookId } from "../../src/domain/Ids.ts"

const instant = DateTime.unsafeMake(0)

const delivery: Delivery.Delivery = {
  id: DeliveryId.make("dlv_01jmh2v3s8e5xt6dq4t9v0r1kz"),
  webhookId: WebhookId.make("whk_01jmh2v3s8e5xt6dq4t9v0r1kz"),
  clientId: ClientId.make("acme"),
  eventId: EventId.make("evt_01jmh2v3s8e5xt6dq4t9v0r1kz"),
  eventType: EventTypeName.make("deal.won"),
  status: "failed_retryable",
  hold: "deactivated",
  attemptCount: 1,
  nextRetryAt: instant,
  lastResponseCode: 503,
  lastResponseBodySample: "later",
  errorClass: "http_5xx",
  errorMessage: "The receiver answered 503.",
  createdAt: instant,
  deliveredAt: null
}

const attempt: Delivery.Attempt = {
  id: AttemptId.make("att_01jmh2v3s8e5xt6dq4t9v0r1kz"),
  number: 1,
  result: "outcome_unknown",
  errorClass: "interrupted",
  errorMessage: "The node died.",
  startedAt: instant,
  exchange: null
}

const retryable = new RetryableFailure({ class: "http_5xx", message: "no", retryAfterMs: null, exchange: unsent(0) })
const permanent = new PermanentFailure({ class: "http_410", message: "no", exchange: unsent(0) })

/** The fields without which a value is not read. */
const needed = <A, I extends object>(schema: Schema.Schema<A, I>, value: A): ReadonlyArray<string> => {
  const written = Schema.encodeSync(schema)(value)
  const without = (name: string) => Object.fromEntries(Object.entries(written).filter(([other]) => other !== name))
  return Object.keys(written).filter((name) => Either.isLeft(Schema.decodeUnknownEither(schema)(without(name))))
}

describe("the records of a delivery", () => {
  it("use the words that the API and the database know", () => {
    assert.deepStrictEqual([...Delivery.DeliveryStatus.literals], [
      "pending",
      "delivered",
      "failed_retryable",
      "failed_permanent"
    ])
    assert.deepStrictEqual([...Delivery.AttemptResult.literals], [
      "success",
      "failure_retryable",
      "failure_permanent",
      "outcome_unknown"
    ])
  })

  it("are read whole, or not at all", () => {
    assert.deepStrictEqual(needed(Delivery.Delivery, delivery), Object.keys(delivery))
    assert.deepStrictEqual(needed(Delivery.Attempt, attempt), Object.keys(attempt))
    assert.sameMembers([...needed(RetryableFailure, retryable)], [
      "_tag",
      "class",
      "message",
      "retryAfterMs",
      "exchange"
    ])
    assert.sameMembers([...needed(PermanentFailure, permanent)], ["_tag", "class", "message", "exchange"])
  })

  it.effect("tell by its tag whether a failure may pass", () =>
    Effect.gen(function*() {
      const verdict = (failure: DeliveryFailure) =>
        Effect.fail(failure).pipe(Effect.catchTags({
          RetryableFailure: () => Effect.succeed("again"),
          PermanentFailure: () => Effect.succeed("over")
        }))
      assert.strictEqual(yield* verdict(retryable), "again")
      assert.strictEqual(yield* verdict(permanent), "over")
    }))
})
