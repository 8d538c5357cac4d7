/** Answers that carry payloads: `JSON.stringify` would refuse big integers and turn `1000.0` into `1000`. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Json } from "../domain/Json.ts"
import * as CanonicalJson from "../signing/CanonicalJson.ts"

export const respond = <A, I>(schema: Schema.Schema<A, I>, options?: { readonly status?: number }) => {
  const encode = Schema.encode(schema)
  return (value: A) =>
    Effect.map(
      Effect.orDie(encode(value)),
      (encoded) =>
        HttpServerResponse.text(CanonicalJson.stringify(encoded as Json), {
          status: options?.status ?? 200,
          contentType: "application/json"
        })
    )
}
