/** Reads back the canonical JSON that was stored with an event. That it parses was seen to before it was stored. */
import * as Either from "effect/Either"
import * as Json from "../domain/Json.ts"

// The envelope and the request around a payload are a few levels deeper than the payload itself may be.
const maxDepth = Json.depthMax + 16

export const read = (body: string): Json.JsonObject =>
  Either.getOrThrow(Json.parse(body, { maxDepth })) as Json.JsonObject
