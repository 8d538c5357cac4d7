/**
 * Whether spans are recorded, and which. A span that is not recorded costs next to nothing: it has no attributes, and
 * what is beneath it is not recorded either.
 */
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { randomUUID } from "node:crypto"

/** As `OTEL_TRACES_SAMPLER` names them. */
export const samplers = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio"
] as const

export interface Sampling {
  readonly sampler: typeof samplers[number]
  /** The share of traces that are recorded, where the sampler goes by one. */
  readonly ratio: number
}

/** Whether somebody has set a tracer: Effect's own one keeps spans to itself. */
export const isOn: Effect.Effect<boolean> = Effect.map(Effect.tracer, (tracer) => tracer !== native)

const records = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  fiber.currentTracer !== native && fiber.getFiberRef(FiberRef.currentTracerEnabled)

/** The span that the fiber runs in; null where there is none, and where nobody traces. */
export const parentOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Tracer.AnySpan | null => {
  if (!records(fiber)) return null
  return Option.getOrNull(Context.getOption(fiber.getFiberRef(FiberRef.currentContext), Tracer.ParentSpan))
}

/** Whether the fiber runs in a span that is recorded. */
export const isWithinRecorded = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  parentOf(fiber)?.sampled === true

/** Notes it at the span that the present effect runs in, if any: where there is none, Effect's own one makes an error first. */
export const annotate = (key: string, value: string): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    const span = parentOf(fiber)
    if (span?._tag === "Span") span.attribute(key, value)
    return Effect.void
  })

/** A span around it, unless it would not be recorded: then all of this is one step. */
export const spanned = <A, E, R>(
  name: string,
  run: (fiber: Fiber.RuntimeFiber<unknown, unknown>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    if (!records(fiber)) return run(fiber)
    const parent = parentOf(fiber)
    // What is beneath an unrecorded span of ours is not recorded either; what comes from outside is yet to be decided on.
    const isUnrecorded = parent !== null && parent._tag === "Span" && !parent.sampled
    return isUnrecorded
      ? run(fiber)
      : Effect.withSpan(Effect.withFiberRuntime(run), name, { captureStackTrace: false })
  })

const native = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** A tracer that decides what is recorded. */
export interface SampledTracer extends Tracer.Tracer {
  /**
   * Decides on what comes from outside before anything is done for it: the span to do it in where nothing is recorded,
   * null where `recording` is to be its tracer.
   */
  readonly decline: (name: string, parent: Option.Option<Tracer.AnySpan>, startTime: bigint) => Tracer.Span | null
  /** Records whatever comes from outside: it was decided on. */
  readonly recording: Tracer.Tracer
}

/** The tracer of whoever asks; null where it decides nothing. */
export const sampledTracer: Effect.Effect<SampledTracer | null> = Effect.map(
  Effect.tracer,
  (tracer) => isSampled(tracer) ? tracer : null
)

const isSampled = (tracer: Tracer.Tracer): tracer is SampledTracer => "recording" in tracer

/** Records with `tracer` what is sampled. */
export const sampled = (tracer: Tracer.Tracer, sampling: Sampling): SampledTracer => {
  const decide = decision(sampling)
  return Object.assign(deciding(tracer, decide), {
    decline: (name: string, parent: Option.Option<Tracer.AnySpan>, startTime: bigint) => {
      const above = Option.filter(parent, hasIds)
      return isRecorded(decide, name, above, [])
        ? null
        : new Unrecorded(name, above, Context.empty(), startTime, "server")
    },
    recording: deciding(tracer, () => true)
  })
}

const deciding = (tracer: Tracer.Tracer, decide: Decide): Tracer.Tracer =>
  Tracer.make({
    context: tracer.context,
    span: (name, parent, context, links, startTime, kind, options) => {
      const above = Option.filter(parent, hasIds)
      return isRecorded(decide, name, above, links)
        ? tracer.span(name, above, context, links, startTime, kind, options)
        : new Unrecorded(name, above, context, startTime, kind)
    }
  })

type Decide = (outside: Tracer.AnySpan | null) => boolean

const isRecorded = (
  decide: Decide,
  name: string,
  parent: Option.Option<Tracer.AnySpan>,
  [link]: ReadonlyArray<Tracer.SpanLink>
): boolean => {
  if (Option.isSome(parent)) return parent.value._tag === "Span" ? parent.value.sampled : decide(parent.value)
  // A statement outside of everything is an actor that looks whether there is work: no trace of its own.
  if (name === "sql.execute") return false
  // What goes on with another trace's story is told where that one is.
  return decide(link?.span ?? null)
}

const decision = ({ ratio, sampler }: Sampling): Decide => {
  const [basis, rule] = sampler.startsWith("parentbased_") ? ["parent", sampler.slice(12)] : ["own", sampler]
  const byRule = (traceId: string | undefined): boolean => {
    if (rule !== "traceidratio") return rule === "always_on"
    return shareOf(traceId ?? randomId()) < ratio
  }
  return (outside) => outside !== null && basis === "parent" ? outside.sampled : byRule(outside?.traceId)
}

/** Where an id stands among all: the last 52 bits, which are random whoever made it (W3C Trace Context). */
const shareOf = (traceId: string): number => Number.parseInt(traceId.slice(-13), 16) / 2 ** 52

/** Some programs send zeros or shorter ids; collectors refuse them. */
export const hasIds = ({ spanId, traceId }: Tracer.AnySpan): boolean =>
  /^(?!0{32})[0-9a-f]{32}$/.test(traceId) && /^(?!0{16})[0-9a-f]{16}$/.test(spanId)

const randomId = (): string => randomUUID().replaceAll("-", "")

const nothing: ReadonlyMap<string, unknown> = new Map()

/** It has ids all the same, for those that ask: a trace that is not recorded here may be elsewhere. */
class Unrecorded implements Tracer.Span {
  readonly _tag = "Span"
  readonly sampled = false
  readonly attributes = nothing
  readonly links: ReadonlyArray<Tracer.SpanLink> = []
  readonly name: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly context: Context.Context<never>
  readonly kind: Tracer.SpanKind
  status: Tracer.SpanStatus
  #traceId: string | undefined
  #spanId: string | undefined

  constructor(
    name: string,
    parent: Option.Option<Tracer.AnySpan>,
    context: Context.Context<never>,
    startTime: bigint,
    kind: Tracer.SpanKind
  ) {
    this.name = name
    this.parent = parent
    this.context = context
    this.kind = kind
    this.status = { _tag: "Started", startTime }
  }

  get traceId(): string {
    this.#traceId ??= Option.isSome(this.parent) ? this.parent.value.traceId : randomId()
    return this.#traceId
  }

  get spanId(): string {
    this.#spanId ??= randomId().slice(-16)
    return this.#spanId
  }

  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
  }

  attribute(): void {}
  event(): void {}
  addLinks(): void {}
}
