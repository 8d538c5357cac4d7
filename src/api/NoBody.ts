/**
 * Of operations whose method has a body and who take none: what is sent all the same is read within the usual bounds,
 * and refused unless it is empty. Somebody put something into it that would have no effect.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import { Invalid } from "../domain/Refusal.ts"
import * as UnreadBody from "./UnreadBody.ts"

/** For handlers, who come after the key: nobody without one has his body waited for. */
export const expected = Effect.flatMap(
  HttpServerRequest.HttpServerRequest,
  (request) =>
    UnreadBody.isAnnounced(NodeHttpServerRequest.toIncomingMessage(request))
      // What the reader refuses is a defect to the platform; see Failures.
      ? Effect.flatMap(Effect.orDie(request.json), (body) => isEmpty(body) ? Effect.void : Effect.fail(unwanted))
      : Effect.void
)

const isEmpty = (body: unknown): boolean =>
  typeof body === "object" && body !== null && !Array.isArray(body) && Object.keys(body).length === 0

const unwanted = Invalid.one("", "body_not_allowed", "This operation takes no body: leave it out, or send {}.")
