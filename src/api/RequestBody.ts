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
import * as Either from "effect/Either"
import type { IncomingMessage } from "node:http"
import * as Json from "../domain/Json.ts"
import { TooLarge } from "../domain/Refusal.ts"
import * as Timer from "../transport/Timer.ts"
import * as MediaType from "./MediaType.ts"
import { Malformed, RequestTimeout, type UnsupportedMedia } from "./Problem.ts"

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
    json: { value: Effect.suspend(() => read(NodeHttpServerRequest.toIncomingMessage(request), options)) },
    // The platform picks its reader by the content type, and we know one only.
    headers: { value: { ...request.headers, "content-type": "application/json" } }
  }) as HttpServerRequest.HttpServerRequest

type BodyRefused = Malformed | RequestTimeout | TooLarge | UnsupportedMedia

/** What stands in the request's body, all of it. */
export const read = (source: IncomingMessage, options: BodyOptions): Effect.Effect<Json.Json, BodyRefused> => {
  const { headers } = source
  const media = MediaType.refuse(headers)
  if (Either.isLeft(media)) return Effect.fail(media.left)
  return Number(headers["content-length"] ?? 0) > options.bytesMax
    ? Effect.fail(tooLarge(options.bytesMax))
    : Effect.flatMap(receive(source, options), parse)
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

const parse = (bytes: Uint8Array): Either.Either<Json.Json, Malformed> => {
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    return Either.left(new Malformed({ code: "body_encoding", message: "The body is not valid UTF-8." }))
  }
  // A body that may be left out may be left empty.
  if (text === "") return Either.right({})
  return Either.mapLeft(Json.parse(text), ({ code, message }) => new Malformed({ code, message }))
}

const empty = new Uint8Array()

/** What is left of a body that is given up is UnreadBody's. */
const receive = (source: IncomingMessage, { bytesMax, within }: BodyOptions) =>
  Effect.async<Uint8Array, Malformed | RequestTimeout | TooLarge>((resume) => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    const collect = (chunk: Uint8Array): void => {
      size += chunk.length
      if (size > bytesMax) giveUp(tooLarge(bytesMax))
      else chunks.push(chunk)
    }
    const finish = (): void => {
      callOff()
      const [only = empty, ...others] = chunks
      resume(Effect.succeed(others.length === 0 ? only : Buffer.concat(chunks)))
    }
    const breakOff = (): void => {
      callOff()
      resume(Effect.fail(new Malformed({ code: "body_incomplete", message: "The body broke off." })))
    }
    const letGo = (): void => {
      callOff()
      chunks.length = 0
      source.off("data", collect).off("end", finish).pause()
    }
    const giveUp = (error: RequestTimeout | TooLarge): void => {
      letGo()
      resume(Effect.fail(error))
    }
    const callOff = Timer.after(Duration.toMillis(within), () => giveUp(late(within)))
    source.on("data", collect).on("end", finish).on("error", breakOff)
    // Nothing to be done on interruption: that is for who is gone, and then the body breaks off.
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
