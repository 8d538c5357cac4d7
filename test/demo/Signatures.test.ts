/** The demo's receivers check signatures by themselves; here, that they would notice. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { Buffer } from "node:buffer"
import * as Signatures from "../../src/demo/Signatures.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { allSignatureSchemes } from "../../src/domain/SignatureScheme.ts"
import { PayloadSigner } from "../../src/signing/PayloadSigner.ts"

const now = 1_740_044_040
const body = "{\"value\": 1000.0}"

const signed = (secret: string) =>
  Effect.gen(function*() {
    const { sign } = yield* PayloadSigner
    const headers = sign({
      webhookId: yield* Ids.make("WebhookId"),
      deliveryId: yield* Ids.make("DeliveryId"),
      eventType: "deal.won",
      timestamp: now,
      body,
      secret: Redacted.make(secret),
      previousSecret: null,
      schemes: allSignatureSchemes
    })
    return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  }).pipe(Effect.provide(PayloadSigner.layer))

describe("the receivers of the demo", () => {
  for (const secret of ["chave-secreta", `whsec_${Buffer.alloc(32, 7).toString("base64")}`]) {
    it.effect(`verify all three schemes under ${secret.slice(0, 6)}…`, () =>
      Effect.gen(function*() {
        const headers = yield* signed(secret)
        const wrong = (change: Partial<Signatures.Signed>) =>
          Signatures.wrong({ secret, headers, body: Buffer.from(body), now, ...change })
        assert.deepStrictEqual(wrong({}), [])
        assert.deepStrictEqual(wrong({ body: Buffer.from(body.replace("1000.0", "1000")) }), Signatures.schemes)
        assert.deepStrictEqual(wrong({ secret: "outra-chave" }), Signatures.schemes)
        assert.deepStrictEqual(wrong({ headers: {} }), Signatures.schemes)
        assert.deepStrictEqual(wrong({ now: now + 301 }), ["X-Deeper_Hub-Signature", "Standard Webhooks"])
      }))
  }
})
