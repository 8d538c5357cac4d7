/** The context of a trace as it travels between programs: the `traceparent` of W3C Trace Context, level 1. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as Tracing from "./Tracing.ts"

/** A version that is not `ff`, ids that are not all zeros, flags; a later version may have more behind them. */
const pattern = /^(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/** Whoever sent what cannot be read is not told: a trace is no part of what was asked for. */
export const parse = (traceparent: string | null | undefined): Option.Option<Tracer.ExternalSpan> => {
  const [, version, traceId = "", spanId = "", flags = "", more] = pattern.exec(traceparent?.trim() ?? "") ?? []
  if (version === undefined || (version === "00" && more !== undefined)) return Option.none()
  return Option.some(Tracer.externalSpan({ traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }))
}

export const format = ({ sampled, spanId, traceId }: Tracer.AnySpan): string =>
  `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`

/** Of the span that the fiber runs in; null where nobody traces. */
export const of = (fiber: Fiber.RuntimeFiber<unknown, unknown>): string | null => {
  const span = Tracing.parentOf(fiber)
  if (span === null) return null
  const text = format(span)
  return pattern.test(text) ? text : null
}

export const current: Effect.Effect<string | null> = Effect.withFiberRuntime((fiber) => Effect.succeed(of(fiber)))
