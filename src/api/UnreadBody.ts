/**
 * Answers that did not wait for the request's body: too much of it, too slow, or of no interest. The answer goes out at
 * once; what the client still sends is read and dropped for a while, because closing the connection on it would take the
 * answer away from the client too. Then the connection ends, whatever the client does.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { IncomingMessage } from "node:http"

/** That a request has a body, by what its header announces. */
export const isAnnounced = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0

/** That some of it is still to come. */
export const isExpected = (source: IncomingMessage): boolean => !source.complete && isAnnounced(source)

const bytesMax = 16 * 1_024 * 1_024
const patience = Duration.seconds(5)

/**
 * The same answer, and the end of the connection once the rest of the body, or as much as we care for, has come. `onSent`
 * is called between the two.
 */
export const outlast = (
  response: HttpServerResponse.HttpServerResponse,
  source: IncomingMessage,
  within: Duration.Duration,
  onSent: () => void
): HttpServerResponse.HttpServerResponse => {
  const { body } = response
  const bytes = body._tag === "Uint8Array" ? body.body : new Uint8Array()
  // An answer without a body has no type, and the platform gives one to what it is not told of.
  const contentType = body.contentType ?? ""
  // The platform asks for more only when the socket took what came before.
  const rest = Stream.drain(
    Stream.fromEffect(Effect.zipRight(Effect.sync(onSent), drop(source, Duration.min(within, patience))))
  )
  return response.pipe(
    HttpServerResponse.setBody(
      HttpBody.stream(Stream.concat(Stream.make(bytes), rest), contentType, bytes.length)
    ),
    HttpServerResponse.setHeader("connection", "close")
  )
}

const drop = (source: IncomingMessage, within: Duration.Duration): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    let dropped = 0
    const done = (): void => resume(Effect.void)
    const count = (chunk: Uint8Array): void => {
      dropped += chunk.length
      if (dropped > bytesMax) done()
    }
    source.on("data", count).once("end", done).once("close", done).once("error", done)
    source.resume()
    return Effect.sync(() => source.off("data", count).off("end", done).off("close", done).pause())
  }).pipe(Effect.timeoutOption(within), Effect.asVoid)
