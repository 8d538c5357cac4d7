/**
 * For each series of a histogram the latest value that a recorded span goes with, so that an operator gets from a slow
 * bucket to a trace. OTLP takes them along; the text format of Prometheus has no place for them.
 */
import type * as Tracer from "effect/Tracer"

export interface Exemplar {
  readonly value: number
  readonly traceId: string
  readonly spanId: string
  /** Unix nanoseconds. */
  readonly time: bigint
}

type Tags = Readonly<Record<string, string>>

/** As bounded as the series are. */
const latest = new Map<string, Exemplar>()

const keyOf = (name: string, tags: Tags): string =>
  [name, ...Object.keys(tags).toSorted().flatMap((tag) => [tag, tags[tag] ?? ""])].join("\u0000")

/** The span has ended. */
export const remember = (name: string, tags: Tags, value: number, { spanId, status, traceId }: Tracer.Span): void => {
  const time = status._tag === "Ended" ? status.endTime : status.startTime
  latest.set(keyOf(name, tags), { value, traceId, spanId, time })
}

/** It stays the latest until another comes: whoever scrapes the collector may have missed it before. */
export const latestOf = (name: string, tags: Tags): Exemplar | undefined => latest.get(keyOf(name, tags))
