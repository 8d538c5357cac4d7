/** Takes one body to one webhook: opens its secrets, signs, sends. What came of it is the receiver's, or our, answer. */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { constVoid } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { type Exchange, unsent } from "../domain/Attempt.ts"
import { type DeliveryFailure, PermanentFailure, RetryableFailure } from "../domain/DeliveryError.ts"
import type { ClientId, DeliveryId, WebhookId } from "../domain/Ids.ts"
import type { SignatureScheme } from "../domain/SignatureScheme.ts"
import { PayloadSigner } from "../signing/PayloadSigner.ts"
import { SecretBox, type SecretUnreadable } from "../signing/SecretBox.ts"
import { UrlGuard } from "../transport/UrlGuard.ts"
import { type End, WebhookClient } from "../transport/WebhookClient.ts"
import { decodeHeaders, headersColumn, previousSecretColumn, secretColumn } from "./Registration.ts"

export interface Parcel {
  readonly id: DeliveryId
  readonly eventType: string
  readonly body: string
  readonly timeoutMs: number
  readonly webhookId: WebhookId
  readonly clientId: ClientId
  readonly url: string
  readonly signatures: ReadonlyArray<SignatureScheme>
  /** Null once the webhook is deleted. */
  readonly secretSealed: Uint8Array | null
  /** Null where only the present secret signs. */
  readonly previousSecretSealed: Uint8Array | null
  readonly headersSealed: Uint8Array | null
}

export class Courier extends Context.Tag("deeper-hub-webhooks/service/Courier")<Courier, {
  /** `traceparent` is for the receiver, in the header of this name; null where it is sent none. */
  readonly deliver: (parcel: Parcel, traceparent: string | null) => Effect.Effect<Exchange, DeliveryFailure>
  /**
   * The same as a plain step, for whoever delivers all the time. What came of it is handed to `end`, once. Returns how to call
   * it off.
   */
  readonly begin: (parcel: Parcel, traceparent: string | null, clock: Clock.Clock, end: End) => () => void
}>() {
  static readonly layer = Layer.effect(this, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const box = yield* SecretBox
  const signer = yield* PayloadSigner
  const guard = yield* UrlGuard
  const client = yield* WebhookClient

  const open = (
    { clientId, headersSealed, previousSecretSealed, webhookId }: Parcel,
    secretSealed: Uint8Array
  ): Either.Either<Opened, SecretUnreadable> => {
    const secret = box.open(secretSealed, { clientId, webhookId, column: secretColumn })
    if (Either.isLeft(secret)) return Either.left(secret.left)
    const previous = previousSecretSealed === null
      ? absent
      : box.open(previousSecretSealed, { clientId, webhookId, column: previousSecretColumn })
    if (Either.isLeft(previous)) return Either.left(previous.left)
    const headers = headersSealed === null
      ? absent
      : box.open(headersSealed, { clientId, webhookId, column: headersColumn })
    if (Either.isLeft(headers)) return Either.left(headers.left)
    return Either.right({
      secret: secret.right,
      previousSecret: previous.right,
      headers: headers.right === null ? null : decodeHeaders(Redacted.value(headers.right))
    })
  }

  const begin: Courier["Type"]["begin"] = (parcel, traceparent, clock, end) => {
    const startedAt = clock.unsafeCurrentTimeMillis()
    const unsent = (outcome: Effect.Effect<never, DeliveryFailure>) => {
      end(outcome)
      return constVoid
    }
    if (parcel.secretSealed === null) return unsent(deleted(startedAt))
    // Checked at every attempt: what was allowed when the webhook was registered may be forbidden by now.
    const url = guard.check(parcel.url)
    if (Either.isLeft(url)) return unsent(forbidden(startedAt, url.left.message))
    const opened = open(parcel, parcel.secretSealed)
    if (Either.isLeft(opened)) {
      return unsent(Effect.zipRight(reportUnreadable(opened.left, parcel), secretUnreadable(startedAt)))
    }
    const { headers, previousSecret, secret } = opened.right
    const { body, eventType, id: deliveryId, timeoutMs, webhookId } = parcel
    const signed = signer.sign({
      webhookId,
      deliveryId,
      eventType,
      timestamp: Math.floor(startedAt / 1_000),
      body,
      secret,
      previousSecret,
      schemes: parcel.signatures
    })
    // Mostly there is nothing to add, and to copy a dozen headers costs as much as to sign them once.
    const sent = headers === null && traceparent === null
      ? signed
      : { ...headers, ...signed, ...traced(headers ?? {}, traceparent) }
    return client.begin({ url: url.right.url, headers: sent, body, timeoutMs }, clock, end)
  }

  return Courier.of({
    begin,
    deliver: (parcel, traceparent) =>
      Effect.clockWith((clock) => Effect.async((end) => Effect.sync(begin(parcel, traceparent, clock, end))))
  })
})

interface Opened {
  readonly secret: Redacted.Redacted
  readonly previousSecret: Redacted.Redacted | null
  /** Null where the webhook has none of its own. */
  readonly headers: Readonly<Record<string, string>> | null
}

const absent = Either.right(null)

/** A webhook that has such a header of its own keeps it. */
const traced = (headers: Readonly<Record<string, string>>, traceparent: string | null): Record<string, string> =>
  traceparent === null || Object.keys(headers).some((name) => name.toLowerCase() === "traceparent")
    ? {}
    : { traceparent }

const deleted = (startedAt: number) =>
  new PermanentFailure({
    class: "webhook_deleted",
    message: "The webhook was deleted before this delivery was sent.",
    exchange: unsent(startedAt)
  })

const forbidden = (startedAt: number, message: string) =>
  new PermanentFailure({ class: "blocked_address", message, exchange: unsent(startedAt) })

const secretUnreadable = (startedAt: number) =>
  new RetryableFailure({
    class: "secret_unreadable",
    message: "This service could not decrypt the webhook's secret; its operator has been told. No attempt was spent.",
    retryAfterMs: null,
    exchange: unsent(startedAt)
  })

const reportUnreadable = (error: SecretUnreadable, { webhookId }: Parcel) =>
  Effect.logError(`${error.message}; check WEBHOOKS_ENCRYPTION_KEYS`, { webhookId })
