/**
 * How many requests are under way at once. What is beyond that is turned away before its body is read or the database is
 * asked: a process that takes in more than it can do ends up doing nothing. Probes are always let in.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ServerResponse } from "node:http"
import type { Caller } from "../domain/Client.ts"
import type { ClientId } from "../domain/Ids.ts"
import { Api } from "./Api.ts"
import * as Paths from "./Paths.ts"
import { TooManyRequests } from "./Problem.ts"

export class Admission extends Context.Tag("deeper-hub-webhooks/api/Admission")<Admission, {
  /** Gives the request a place until its connection is done with it, unless it has one; false where there is none. */
  readonly enter: (response: ServerResponse) => boolean
  /** Gives the place back early: all that is left to do costs nothing. */
  readonly leave: (response: ServerResponse) => void
  /**
   * For what waits on purpose, on a receiver and not on us. It may take a quarter of the places, and one client a quarter
   * of those: who waits must not keep those out that are over in a moment, nor all others who want to wait.
   */
  readonly waiting: <A, E, R>(
    caller: Caller,
    wait: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | TooManyRequests, R>
}>() {
  static readonly layer = (options: { readonly places: number }) => Layer.sync(this, () => make(options.places))
}

const make = (places: number): typeof Admission.Service => {
  // No Set, for the reason that CONTRIBUTING gives (8).
  const admitted = new WeakSet<ServerResponse>()
  let underWay = 0
  const waitingMax = Math.max(1, Math.floor(places / 4))
  const waitingPerClientMax = Math.max(1, Math.floor(waitingMax / 4))
  const waiting = new Map<ClientId, number>()
  const leave = (response: ServerResponse): void => {
    if (admitted.delete(response)) underWay -= 1
  }
  const sitDown = (client: ClientId) =>
    Effect.suspend(() => {
      const own = waiting.get(client) ?? 0
      const all = Array.from(waiting.values()).reduce((sum, n) => sum + n, 0)
      if (all >= waitingMax) return overloaded(waits(waitingMax, "requests"))
      if (own >= waitingPerClientMax) return overloaded(waits(waitingPerClientMax, "requests of this client"))
      waiting.set(client, own + 1)
      return Effect.void
    })
  const standUp = (client: ClientId) =>
    Effect.sync(() => {
      const others = (waiting.get(client) ?? 1) - 1
      if (others === 0) waiting.delete(client)
      else waiting.set(client, others)
    })
  return {
    enter: (response) => {
      if (admitted.has(response)) return true
      if (underWay >= places) return false
      admitted.add(response)
      underWay += 1
      // The connection's word and not the handler's: an answer that nobody fetches is never finished.
      response.on("close", () => leave(response))
      return true
    },
    leave,
    waiting: ({ clientId }, wait) => Effect.acquireUseRelease(sitDown(clientId), () => wait, () => standUp(clientId))
  }
}

const probes: ReadonlySet<string> = new Set(["/healthz", "/metrics", "/readyz"])

export const isProbe = (url: string): boolean => probes.has(Paths.normal(url))

/** Turns away at the door. */
export const door = HttpApiBuilder.middleware(
  Api,
  Effect.map(
    Admission,
    (admission) => (app) =>
      Effect.flatMap(
        HttpServerRequest.HttpServerRequest,
        (request) =>
          isProbe(request.url) || admission.enter(NodeHttpServerRequest.toServerResponse(request))
            ? app
            : full
      )
  )
)

const waits = (count: number, whose: string) =>
  `${count} ${whose} already wait for an attempt. Ask without waiting, or later.`

const overloaded = (message: string) => new TooManyRequests({ code: "overloaded", message, retryAfterSeconds: 1 })

const full = Effect.fail(
  overloaded("The service has as many requests under way as it can take. This one was not looked at: repeat it.")
)
