/**
 * The way to the collector. Whatever it does, it costs the service no more than a bounded number of requests: what it does
 * not take in time is dropped and counted, and nobody waits for it.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Metrics from "./Metrics.ts"

export interface CollectorOptions {
  /** Of one request. */
  readonly timeout: Duration.Duration
}

/** Requests under way for one signal; each holds its batch in memory. */
const underWayMax = 2

const retries = Schedule.exponential("1 second").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(2)))

export const layer = (options: CollectorOptions): Layer.Layer<HttpClient.HttpClient, never, HttpClient.HttpClient> =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (client) => {
      const underWay = new Map<string, number>()
      /** Signals of which the latest batch was not taken. */
      const refused = new Set<string>()
      const change = (signal: string, by: number) =>
        Effect.sync(() => underWay.set(signal, (underWay.get(signal) ?? 0) + by))

      return HttpClient.transform(client, (send, request) => {
        const signal = request.url.slice(request.url.lastIndexOf("/") + 1)
        const exchange = taken(send, request, options).pipe(
          Effect.tapError(({ message }) => Effect.zipRight(drop(signal), tellOfLoss(refused, signal, message))),
          Effect.tap(() => tellOfReturn(refused, signal))
        )
        return Effect.suspend(() =>
          (underWay.get(signal) ?? 0) >= underWayMax
            // Answered as if it had been taken: the exporter would take a refusal for the end, and be silent for a minute.
            ? Effect.as(drop(signal), accepted(request))
            : Effect.acquireUseRelease(change(signal, 1), () => exchange, () => change(signal, -1))
        )
      })
    })
  )

/** Once, however long it lasts. */
const tellOfLoss = (refused: Set<string>, signal: string, reason: string): Effect.Effect<void> => {
  if (refused.has(signal)) return Effect.logDebug("telemetry is not taken", { signal, reason })
  refused.add(signal)
  return Effect.logWarning("the collector does not take telemetry: what is for it is lost until it does", {
    signal,
    reason
  })
}

const tellOfReturn = (refused: Set<string>, signal: string): Effect.Effect<void> =>
  refused.delete(signal) ? Effect.logInfo("the collector takes telemetry again", { signal }) : Effect.void

const drop = (signal: string) => Metric.increment(Metric.tagged(Metrics.exportsDropped, "signal", signal))

const accepted = (request: HttpClientRequest.HttpClientRequest) =>
  HttpClientResponse.fromWeb(request, new Response(null, { status: 200 }))

/** Tries again what may be taken later (OTLP 1.9, "Failures"); the exporter above is not to do so, too, and is not told of it. */
const taken = (
  send: Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>,
  request: HttpClientRequest.HttpClientRequest,
  { timeout }: CollectorOptions
) =>
  send.pipe(
    Effect.flatMap(HttpClientResponse.filterStatusOk),
    Effect.timeoutFail({ duration: timeout, onTimeout: () => lost(request, "no answer in time") }),
    Effect.retry({ schedule: retries, while: isTransient }),
    Effect.mapError((error) => lost(request, error.message))
  )

const transient: ReadonlySet<number> = new Set([429, 502, 503, 504])

const isTransient = (error: HttpClientError.HttpClientError): boolean =>
  error._tag === "ResponseError" ? transient.has(error.response.status) : error.reason === "Transport"

/** Of a kind that is final. */
const lost = (request: HttpClientRequest.HttpClientRequest, description: string) =>
  new HttpClientError.RequestError({ request, reason: "Encode", description })
