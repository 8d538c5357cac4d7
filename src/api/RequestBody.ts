/**
 * Reads request bodies the strict way, in the place of the platform's `JSON.parse`: bounded in bytes and depth, UTF-8
 * only, no repeated keys, and numbers keep the value they were written with.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { hasBody } from "@effect/platform/HttpMethod"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import type { IncomingMessage } from "node:http"
import * as Json from "../domain/Json.ts"
import { TooLarge } from "../domain/Refusal.ts"
import * as MediaType from "./MediaType.ts"
import { Malformed } from "./Problem.ts"

export const layer = (options: { readonly bytesMax: number }) =>
  HttpApiBuilder.middleware((app) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
      hasBody(request.method)
        ? Effect.provideService(app, HttpServerRequest.HttpServerRequest, strict(request, options.bytesMax))
        : app)
  )

/** The same request, with another way to read its JSON. What it refuses is a defect to the platform; see Failures. */
const strict = (request: HttpServerRequest.HttpServerRequest, bytesMax: number): HttpServerRequest.HttpServerRequest =>
  Object.create(request, {
    json: { value: read(request, bytesMax) },
    // The platform picks its reader by the content type, and we know one only.
    headers: { value: { ...request.headers, "content-type": "application/json" } }
  })

const read = (request: HttpServerRequest.HttpServerRequest, bytesMax: number) =>
  Effect.gen(function*() {
    yield* MediaType.refuse(request.headers)
    if (Number(request.headers["content-length"] ?? 0) > bytesMax) return yield* tooLarge(bytesMax)
    const bytes = yield* receive(NodeHttpServerRequest.toIncomingMessage(request), bytesMax)
    const text = yield* Effect.try({
      try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
      catch: () => new Malformed({ code: "body_encoding", message: "The body is not valid UTF-8." })
    })
    // A body that may be left out may be left empty.
    if (text === "") return {}
    return yield* Effect.mapError(Json.parse(text), ({ code, message }) => new Malformed({ code, message }))
  })

/**
 * What is too much is read on and dropped: a client that is still sending would get a reset in the place of its answer.
 * For how long it may, the server's request timeout says.
 */
const receive = (source: IncomingMessage, bytesMax: number) =>
  Effect.async<Uint8Array, Malformed | TooLarge>((resume) => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    source.on("data", (chunk: Uint8Array) => {
      size += chunk.length
      if (size <= bytesMax) return chunks.push(chunk)
      chunks.length = 0
      resume(Effect.fail(tooLarge(bytesMax)))
    })
    source.once("end", () => resume(Effect.succeed(Buffer.concat(chunks))))
    source.once(
      "error",
      () => resume(Effect.fail(new Malformed({ code: "body_incomplete", message: "The body broke off." })))
    )
  })

const tooLarge = (bytesMax: number) =>
  new TooLarge({
    code: "body_too_large",
    message: `A request body may have ${bytesMax} bytes (WEBHOOKS_MAX_REQUEST_SIZE_KB). Send less, or in parts.`
  })
