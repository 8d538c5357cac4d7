/** Who is asking: `Authorization: Bearer dhw_<key id>_<secret>`. */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Caller } from "../domain/Client.ts"
import { type AtOnce, atOnce, goOn } from "../persistence/AtOnce.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import { ApiKeys, presentedBy, type PresentedKey } from "../service/ApiKeys.ts"
import * as AnswerHeaders from "./AnswerHeaders.ts"
import * as Problem from "./Problem.ts"
import { RateLimit } from "./RateLimit.ts"

export class CurrentCaller extends Context.Tag("deeper-hub-webhooks/api/Authentication/CurrentCaller")<
  CurrentCaller,
  Caller
>() {}

const bearer = HttpApiSecurity.bearer.pipe(
  HttpApiSecurity.annotate(OpenApi.Description, "An API key: dhw_<key id>_<secret>")
)

/** What a request says of who sends it. */
interface Sent {
  readonly authorization: string | undefined
  readonly address: string | null
  readonly connection: object
}

interface Remembered {
  readonly authorization: string
  /** Null where it is no token of ours. */
  readonly key: PresentedKey | null
}

// Whoever sends many requests over a connection mostly says the same each time, and taking that apart, with a hash, is a
// thirtieth of what a request costs. Whether the key works is asked each time. What is remembered is only ever compared with
// what came next over the same connection.
const latest = new WeakMap<object, Remembered>()

const keyOf = ({ authorization = "", connection }: Sent): PresentedKey | null => {
  const known = latest.get(connection)
  if (known?.authorization === authorization) return known.key
  const [, token] = /^bearer (.*)$/is.exec(authorization) ?? []
  const key = token === undefined ? null : presentedBy(token)
  latest.set(connection, { authorization, key })
  return key
}

/** Who sent the request; that takes a token out of the bucket of the key, of which the answer is to tell. */
export const makeAuthenticate = Effect.map(
  Effect.all([ApiKeys, RateLimit]),
  ([keys, rateLimit]) =>
  (
    sent: Sent,
    tell: AnswerHeaders.Tell
  ): AtOnce<Caller, PersistenceError | Problem.TooManyRequests | Problem.Unauthorized> => {
    const key = keyOf(sent)
    if (key === null) return atOnce(() => Effect.fail(unknownKey))
    const holder = keys.authenticate(key, sent.address)
    return atOnce((fiber) =>
      goOn(holder.inFiber(fiber), (found): Effect.Effect<Caller, Problem.TooManyRequests | Problem.Unauthorized> => {
        if (Option.isNone(found)) return Effect.fail(unknownKey)
        const caller = found.value
        // Only a key that is one has a bucket: made-up ones would fill the memory.
        return goOn(rateLimit.charge(caller.keyId ?? caller.clientId, tell), () => Effect.succeed(caller))
      })
    )
  }
)

const unknownKey = new Problem.Unauthorized({
  message: "The API key is missing, unknown, expired or revoked. Send it as Authorization: Bearer dhw_…"
})

export class Authentication extends HttpApiMiddleware.Tag<Authentication>()(
  "deeper-hub-webhooks/api/Authentication",
  {
    provides: CurrentCaller,
    failure: Schema.Union(Problem.unauthorized, Problem.tooManyRequests, Problem.unavailable),
    security: { bearer }
  }
) {
  static readonly layer = Layer.effect(
    this,
    Effect.map(makeAuthenticate, (authenticate) => ({
      bearer: () =>
        Effect.flatMap(
          HttpServerRequest.HttpServerRequest,
          (request) =>
            authenticate(
              {
                authorization: request.headers["authorization"],
                address: Option.getOrNull(request.remoteAddress),
                connection: NodeHttpServerRequest.toIncomingMessage(request).socket
              },
              AnswerHeaders.tell
            )
        )
    }))
  )
}
