/**
 * Signs a delivery's body in the schemes that its webhook chose. While a secret is being rotated, the new one and the
 * old one both sign, so a receiver may change over at any time in between.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { type BinaryLike, createHmac } from "node:crypto"
import type { DeliveryId, WebhookId } from "../domain/Ids.ts"
import type { SignatureScheme } from "../domain/SignatureScheme.ts"
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
  headers["X-Signature"] = hmac(Secret.stringKey(secret), body, "hex")
  if (previousSecret !== null) headers["X-Previous-Signature"] = hmac(Secret.stringKey(previousSecret), body, "hex")
}

const deeperHub = (headers: Record<string, string>, request: SigningRequest): void => {
  const { body, deliveryId, previousSecret, secret, timestamp } = request
  const signed = `${timestamp}.${deliveryId}.${body}`
  const current = `t=${timestamp},v1=${hmac(Secret.stringKey(secret), signed, "hex")}`
  headers["X-Deeper_Hub-Signature"] = previousSecret === null
    ? current
    : `${current},v1=${hmac(Secret.stringKey(previousSecret), signed, "hex")}`
}

const standardWebhooks = (headers: Record<string, string>, request: SigningRequest): void => {
  const { body, deliveryId, previousSecret, secret, timestamp } = request
  const signed = `${deliveryId}.${timestamp}.${body}`
  const current = `v1,${hmac(Secret.standardKey(secret), signed, "base64")}`
  headers["webhook-id"] = deliveryId
  headers["webhook-timestamp"] = String(timestamp)
  headers["webhook-signature"] = previousSecret === null
    ? current
    : `${current} v1,${hmac(Secret.standardKey(previousSecret), signed, "base64")}`
}

const writers: Record<SignatureScheme, (headers: Record<string, string>, request: SigningRequest) => void> = {
  x_signature: xSignature,
  deeper_hub: deeperHub,
  standard_webhooks: standardWebhooks
}

const hmac = (key: BinaryLike, text: string, encoding: "hex" | "base64"): string =>
  createHmac("sha256", key).update(text).digest(encoding)
