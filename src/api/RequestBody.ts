/**
 * Reads request bodies the strict way, in the place of the platform's `JSON.parse`: bounded in bytes, time and depth,
 * UTF-8 only, no repeated keys, and numbers keep the value they were written with.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { hasBody } from "@effect/platform/HttpMethod"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { IncomingMessage } from "node:http"
import * as Json from "../domain/Json.ts"
import { TooLarge } from "../domain/Refusal.ts"
import * as MediaType from "./MediaType.ts"
import { Malformed, RequestTimeout } from "./Problem.ts"

export interface BodyOptions {
  /** The most that a request's body may have. */
  readonly bytesMax: number
  /** How long it may take to come. */
  readonly within: Duration.Duration
}

export const layer = (options: BodyOptions) =>
  HttpApiBuilder.middleware((app) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
      hasBody(request.method)
        ? Effect.provideService(app, HttpServerRequest.HttpServerRequest, strict(request, options))
        : app)
  )

/** The same request, with another way to read its JSON. What it refuses is a defect to the platform; see Failures. */
const strict = (request: HttpServerRequest.HttpServerRequest, options: BodyOptions) =>
  Object.create(request, {
    json: { value: read(request, options) },
    // The platform picks its reader by the content type, and we know one only.
    headers: { value: { ...request.headers, "content-type": "application/json" } }
  }) as HttpServerRequest.HttpServerRequest

const read = (request: HttpServerRequest.HttpServerRequest, { bytesMax, within }: BodyOptions) =>
  Effect.gen(function*() {
    yield* MediaType.refuse(request.headers)
    if (Number(request.headers["content-length"] ?? 0) > bytesMax) return yield* tooLarge(bytesMax)
    const bytes = yield* receive(NodeHttpServerRequest.toIncomingMessage(request), bytesMax).pipe(
      Effect.timeoutFail({ duration: within, onTimeout: () => late(within) })
    )
    const text = yield* Effect.try({
      try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
      catch: () => new Malformed({ code: "body_encoding", message: "The body is not valid UTF-8." })
    })
    // A body that may be left out may be left empty.
    if (text === "") return {}
    return yield* Effect.mapError(Json.parse(text), ({ code, message }) => new Malformed({ code, message }))
  })

/** What is left of a body that is given up is UnreadBody's. */
const receive = (source: IncomingMessage, bytesMax: number) =>
  Effect.async<Uint8Array, Malformed | TooLarge>((resume) => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    const collect = (chunk: Uint8Array): void => {
      size += chunk.length
      if (size <= bytesMax) return void chunks.push(chunk)
      letGo()
      resume(Effect.fail(tooLarge(bytesMax)))
    }
    const finish = (): void => resume(Effect.succeed(Buffer.concat(chunks)))
    const breakOff = (): void =>
      resume(Effect.fail(new Malformed({ code: "body_incomplete", message: "The body broke off." })))
    const letGo = (): void => {
      chunks.length = 0
      source.off("data", collect).off("end", finish).pause()
    }
    source.on("data", collect).once("end", finish).once("error", breakOff)
    return Effect.sync(letGo)
  })

const tooLarge = (bytesMax: number) =>
  new TooLarge({
    code: "body_too_large",
    message: `A request body may have ${bytesMax} bytes (WEBHOOKS_MAX_REQUEST_SIZE_KB). Send less, or in parts.`
  })

const late = (within: Duration.Duration) =>
  new RequestTimeout({
    message: `The body did not come within ${Duration.toSeconds(within)} s ` +
      "(WEBHOOKS_REQUEST_TIMEOUT_SECONDS). Nothing was done: repeat the request."
  })
