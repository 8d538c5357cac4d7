/**
 * Changing a webhook's secret without a failed signature: for a while the new secret and the one before it both sign, so
 * the receiver may change over at any time in between.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Moment } from "../domain/Moment.ts"
import { Invalid } from "../domain/Refusal.ts"
import type { Definition, SealedWebhook } from "../persistence/WebhookStore.ts"
import * as Secret from "../signing/Secret.ts"
import { SecretBox } from "../signing/SecretBox.ts"
import { onlySecret, previousSecretColumn, sealSecret, secretColumn } from "./Registration.ts"

const overlapSecondsMax = 2_592_000
export const overlapSecondsDefault = 86_400

/** What may be said of a rotation. */
export const RotationRequest = Schema.Struct({
  secretKey: Schema.optional(Secret.ChosenSecret),
  overlapSeconds: Schema.optionalWith(
    Schema.Int.pipe(
      Schema.between(0, overlapSecondsMax, {
        description: `How long the secret before it signs too; ${overlapSecondsDefault}, a day, where absent.`,
        message: () => `expected a whole number from 0 to ${overlapSecondsMax}`
      })
    ),
    { default: () => overlapSecondsDefault }
  ),
  secretExpiresAt: Schema.optional(Schema.NullOr(Moment))
})
export type RotationRequest = typeof RotationRequest.Type

/** Whether the previous secret still signs. */
export const isUnderWay = ({ previousSecretExpiresAt, readAt }: SealedWebhook): boolean =>
  previousSecretExpiresAt !== null && DateTime.greaterThan(previousSecretExpiresAt, readAt)

/** The webhook with its new secret. Of an earlier rotation nothing stays: two secrets sign, never three. */
export const rotate = (webhook: SealedWebhook, secret: Redacted.Redacted, request: RotationRequest) =>
  Effect.gen(function*() {
    const present = yield* openPresent(webhook)
    if (present !== null && Redacted.value(present) === Redacted.value(secret)) return yield* unchanged
    return {
      ...webhook,
      secretSealed: yield* sealSecret(webhook, secretColumn, secret),
      secretExpiresAt: request.secretExpiresAt ?? null,
      ...(present === null || request.overlapSeconds === 0 ? onlySecret : {
        previousSecretSealed: yield* sealSecret(webhook, previousSecretColumn, present),
        previousSecretExpiresAt: DateTime.add(webhook.readAt, { seconds: request.overlapSeconds })
      })
    } satisfies Definition
  })

/** A secret that cannot be opened any more cannot sign either: a rotation is the way out of that, so it goes on. */
const openPresent = ({ clientId, id, secretSealed }: SealedWebhook) =>
  Effect.gen(function*() {
    if (secretSealed === null) return null
    const box = yield* SecretBox
    return yield* box.open(secretSealed, { clientId, webhookId: id, column: secretColumn }).pipe(
      Effect.catchTag(
        "SecretUnreadable",
        ({ message }) => Effect.as(Effect.logWarning(`${message}; the new secret signs alone`), null)
      )
    )
  })

const unchanged = Invalid.one("secret_key", "secret_unchanged", "expected another secret than the present one")
