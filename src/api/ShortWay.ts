/**
 * The way of requests that publish: from Node's server to their route and back, past all that the platform does for a
 * request, which takes several times as many steps as publishing itself. What goes wrong is handed to the platform, which
 * tells of it as of everything that goes wrong; and a request whose trace is recorded takes the platform's way from the
 * beginning.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import type * as Headers from "@effect/platform/Headers"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { clientAbortFiberId } from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as HttpTraceContext from "@effect/platform/HttpTraceContext"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Tracing from "../telemetry/Tracing.ts"
import { Admission } from "./Admission.ts"
import * as AnswerHeaders from "./AnswerHeaders.ts"
import { Api } from "./Api.ts"
import * as Failures from "./Failures.ts"
import * as FiberPool from "./FiberPool.ts"
import { PublishRoutes, type Route } from "./PublishRoutes.ts"
import * as SecurityHeaders from "./SecurityHeaders.ts"

/** A listener of Node's server. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => void

export interface Platform {
  readonly handle: Handler
  /** The same for a request whose trace is to be recorded. */
  readonly record: Handler
}

interface Refused {
  readonly cause: Cause.Cause<Failures.Declared>
  readonly headers: AnswerHeaders.AnswerHeaders
}

/** What went wrong here, for the platform to tell. */
const refused = new WeakMap<IncomingMessage, Refused>()

/** Whether it was on the short way before: its trace is not recorded. */
export const isRefused = (request: HttpServerRequest.HttpServerRequest): boolean =>
  refused.has(NodeHttpServerRequest.toIncomingMessage(request))

/** Takes the requests that publish, and hands all others to the platform. */
export const make = (platform: Platform) =>
  Effect.gen(function*() {
    const { find } = yield* PublishRoutes
    const { enter } = yield* Admission
    const trace = yield* makeTrace
    const fibers = yield* FiberPool.make

    const answer = (route: Route, request: IncomingMessage, response: ServerResponse, span: Tracer.Span | null) => {
      let headers: AnswerHeaders.AnswerHeaders = {}
      const answered = route.answer(request, (told) =>
        Effect.sync(() => {
          headers = { ...headers, ...told }
        }))
      const interrupt = fibers.run(span === null ? answered : Effect.withParentSpan(answered, span), (exit) => {
        if (response.destroyed) return
        if (Exit.isSuccess(exit)) return accept(response, exit.value, headers)
        refused.set(request, { cause: exit.cause, headers })
        platform.handle(request, response)
      })
      response.on("close", () => {
        if (!response.writableEnded) interrupt(clientAbortFiberId)
      })
    }

    const take: Handler = (request, response) => {
      const route = find(request)
      if (route === undefined) return platform.handle(request, response)
      // The platform turns away who finds no place.
      if (!enter(response)) return platform.handle(request, response)
      const span = trace(request)
      return span === "recorded" ? platform.record(request, response) : answer(route, request, response, span)
    }
    return take
  })

/** How a request is to be traced: in a span beneath which nothing is recorded, or without one where nobody traces. */
const makeTrace = Effect.gen(function*() {
  const isOn = yield* Tracing.isOn
  const tracer = yield* Tracing.sampledTracer
  const clock = yield* Effect.clock
  return ({ headers }: IncomingMessage): Tracer.Span | "recorded" | null => {
    if (!isOn) return null
    // Somebody else's tracer decides on its own.
    if (tracer === null) return "recorded"
    const parent = HttpTraceContext.fromHeaders(headers as Headers.Headers)
    return tracer.decline("http.server POST", parent, clock.unsafeCurrentTimeNanos()) ?? "recorded"
  }
})

const accept = (response: ServerResponse, json: string, headers: AnswerHeaders.AnswerHeaders): void => {
  response.writeHead(202, {
    ...SecurityHeaders.headers,
    ...headers,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(json)
  }).end(json)
}

/** The platform's end: tells of what was refused, and answers what takes its way. */
export const layer = HttpApiBuilder.middleware(
  Api,
  Effect.map(PublishRoutes, ({ find }) => (app) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
      const source = NodeHttpServerRequest.toIncomingMessage(request)
      const route = find(source)
      if (route === undefined) return app
      const known = refused.get(source)
      return Failures.leave(known === undefined ? answered(route, source) : refusal(known))
    }))
)

const answered = ({ answer, path }: Route, request: IncomingMessage) =>
  Effect.zipRight(
    Tracing.annotate("http.route", path),
    Effect.map(
      Effect.interruptible(answer(request, AnswerHeaders.tell)),
      (json) => HttpServerResponse.text(json, { status: 202, contentType: "application/json" })
    )
  )

const refusal = ({ cause, headers }: Refused) => Effect.zipRight(AnswerHeaders.tell(headers), Effect.failCause(cause))
