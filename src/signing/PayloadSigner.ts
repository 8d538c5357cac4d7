/**
 * Signs a delivery's body in the schemes that its webhook chose. While a secret is being rotated, the new one and the
 * old one both sign, so a receiver may change over at any time in between.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type { DeliveryId, WebhookId } from "../domain/Ids.ts"
import type { SignatureScheme } from "../domain/SignatureScheme.ts"
import * as Hmac from "./Hmac.ts"
import * as Secret from "./Secret.ts"

export interface SigningRequest {
  readonly webhookId: WebhookId
  readonly deliveryId: DeliveryId
  readonly eventType: string
  /** Unix seconds of the attempt. */
  readonly timestamp: number
  /** The bytes to be sent: canonical JSON, all ASCII. */
  readonly body: string
  readonly secret: Redacted.Redacted
  /** The secret before the present one, while a rotation lets both sign. */
  readonly previousSecret: Redacted.Redacted | null
  readonly schemes: ReadonlyArray<SignatureScheme>
}

export type SignedHeaders = Readonly<Record<string, string>>

export class PayloadSigner extends Context.Tag("deeper-hub-webhooks/signing/PayloadSigner")<PayloadSigner, {
  /** Every header of the attempt but User-Agent and the webhook's own. A plain function: it runs for every attempt. */
  readonly sign: (request: SigningRequest) => SignedHeaders
}>() {
  static readonly layer = Layer.succeed(this, { sign: (request) => sign(request) })
}

const sign = (request: SigningRequest): SignedHeaders => {
  const headers: Record<string, string> = {
    "Content-Type": "application/json",
    "X-Webhook-ID": request.webhookId,
    "X-Delivery-ID": request.deliveryId,
    "X-Event-Type": request.eventType
  }
  for (const scheme of request.schemes) writers[scheme](headers, request)
  return headers
}

const xSignature = (headers: Record<string, string>, { body, previousSecret, secret }: SigningRequest): void => {
  headers["X-Signature"] = Hmac.sha256(stringKey(secret), "", body, "hex")
  if (previousSecret !== null) headers["X-Previous-Signature"] = Hmac.sha256(stringKey(previousSecret), "", body, "hex")
}

const deeperHub = (headers: Record<string, string>, request: SigningRequest): void => {
  const { body, deliveryId, previousSecret, secret, timestamp } = request
  const prefix = `${timestamp}.${deliveryId}.`
  const current = `t=${timestamp},v1=${Hmac.sha256(stringKey(secret), prefix, body, "hex")}`
  headers["X-Deeper_Hub-Signature"] = previousSecret === null
    ? current
    : `${current},v1=${Hmac.sha256(stringKey(previousSecret), prefix, body, "hex")}`
}

const standardWebhooks = (headers: Record<string, string>, request: SigningRequest): void => {
  const { body, deliveryId, previousSecret, secret, timestamp } = request
  const prefix = `${deliveryId}.${timestamp}.`
  const current = `v1,${Hmac.sha256(standardKey(secret), prefix, body, "base64")}`
  headers["webhook-id"] = deliveryId
  headers["webhook-timestamp"] = String(timestamp)
  headers["webhook-signature"] = previousSecret === null
    ? current
    : `${current} v1,${Hmac.sha256(standardKey(previousSecret), prefix, body, "base64")}`
}

const writers: Record<SignatureScheme, (headers: Record<string, string>, request: SigningRequest) => void> = {
  x_signature: xSignature,
  deeper_hub: deeperHub,
  standard_webhooks: standardWebhooks
}

// Keys are made ready once for as long as the caller keeps the secret.
const stringKeys = new WeakMap<Redacted.Redacted, Hmac.HmacKey>()
const standardKeys = new WeakMap<Redacted.Redacted, Hmac.HmacKey>()

const keyOf = (
  known: WeakMap<Redacted.Redacted, Hmac.HmacKey>,
  secret: Redacted.Redacted,
  bytes: (secret: Redacted.Redacted) => Uint8Array
): Hmac.HmacKey => {
  const ready = known.get(secret)
  if (ready !== undefined) return ready
  const made = Hmac.key(bytes(secret))
  known.set(secret, made)
  return made
}

const stringKey = (secret: Redacted.Redacted) => keyOf(stringKeys, secret, Secret.stringKey)
const standardKey = (secret: Redacted.Redacted) => keyOf(standardKeys, secret, Secret.standardKey)
