/** The ways in which a delivery is signed. A webhook chooses which of them its receiver gets. */
import * as Schema from "effect/Schema"

/**
 * - `x_signature`: `X-Signature`, the HMAC of the body alone.
 * - `deeper_hub`: `X-Deeper_Hub-Signature`, with the attempt's time and the delivery's id.
 * - `standard_webhooks`: the three headers of Standard Webhooks 1.0.
 */
export const SignatureScheme = Schema.Literal("x_signature", "deeper_hub", "standard_webhooks").annotations({
  identifier: "SignatureScheme",
  description: "A way of signing a delivery."
})
export type SignatureScheme = typeof SignatureScheme.Type

export const allSignatureSchemes: ReadonlyArray<SignatureScheme> = SignatureScheme.literals
