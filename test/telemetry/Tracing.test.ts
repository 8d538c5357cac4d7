import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, FastCheck, Option, Tracer } from "effect"
import * as TraceContext from "../../src/telemetry/TraceContext.ts"
import * as Tracing from "../../src/telemetry/Tracing.ts"

/** A tracer that records under `sampling`, and the names of what it recorded. */
const recording = (sampling: Tracing.Sampling) => {
  const names: Array<string> = []
  let ids = 0
  const tracer = Tracer.make({
    context: (execution) => execution(),
    span: (name, parent, context, links, startTime, kind) => {
      names.push(name)
      ids += 1
      return {
        _tag: "Span",
        name,
        spanId: ids.toString(16).padStart(16, "0"),
        traceId: Option.match(parent, { onNone: () => ids.toString(16).padStart(32, "a"), onSome: (p) => p.traceId }),
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes: new Map(),
        links,
        sampled: true,
        kind,
        end: () => {},
        attribute: () => {},
        event: () => {},
        addLinks: () => {}
      }
    }
  })
  return { names, tracer: Tracing.sampled(tracer, sampling) }
}

const outside = (sampled: boolean, traceId = "4bf92f3577b34da6a3ce929d0e0e4736") =>
  Tracer.externalSpan({ traceId, spanId: "00f067aa0ba902b7", sampled })

/** What is recorded of a request with a step in it. */
const recorded = (sampling: Tracing.Sampling, parent?: Tracer.ExternalSpan) =>
  Effect.gen(function*() {
    const { names, tracer } = recording(sampling)
    yield* Effect.void.pipe(
      Effect.withSpan("step"),
      Effect.withSpan("request", parent === undefined ? {} : { parent }),
      Effect.withTracer(tracer)
    )
    return names
  })

describe("Tracing", () => {
  it.effect("records whole traces, by what the sampler goes by", () =>
    Effect.gen(function*() {
      const all = ["request", "step"]
      const cases = [
        ["always_on", 0, undefined, all],
        ["always_off", 1, undefined, []],
        ["traceidratio", 1, undefined, all],
        ["traceidratio", 0, undefined, []],
        ["traceidratio", 0, outside(true), []],
        ["traceidratio", 1, outside(false), all],
        ["parentbased_always_on", 0, outside(false), []],
        ["parentbased_always_on", 0, undefined, all],
        ["parentbased_always_off", 1, outside(true), all],
        ["parentbased_always_off", 1, undefined, []],
        ["parentbased_traceidratio", 0, outside(true), all],
        ["parentbased_traceidratio", 1, outside(false), []],
        ["parentbased_traceidratio", 1, undefined, all],
        ["parentbased_traceidratio", 0, undefined, []]
      ] as const
      for (const [sampler, ratio, parent, expected] of cases) {
        const found = yield* recorded({ sampler, ratio }, parent)
        assert.deepStrictEqual(found, [...expected], `${sampler} ${ratio} under ${JSON.stringify(parent)}`)
      }
    }))

  it.effect("decides on a ratio by the trace's id, and so alike in every process", () =>
    Effect.gen(function*() {
      const halves = { sampler: "traceidratio", ratio: 0.5 } as const
      assert.isNotEmpty(yield* recorded(halves, outside(false, `${"f".repeat(19)}${"0".repeat(13)}`)))
      assert.isEmpty(yield* recorded(halves, outside(true, `${"0".repeat(19)}${"f".repeat(13)}`)))
    }))

  it.effect("records about as many traces as it is told to", () =>
    Effect.gen(function*() {
      const { names, tracer } = recording({ sampler: "parentbased_traceidratio", ratio: 0.25 })
      yield* Effect.replicateEffect(Effect.withSpan(Effect.void, "root"), 4_000).pipe(Effect.withTracer(tracer))
      assert.approximately(names.length, 1_000, 200)
    }))

  it.effect("has no trace that is one statement, and none under ids that are not valid", () =>
    Effect.gen(function*() {
      const { names, tracer } = recording({ sampler: "always_on", ratio: 1 })
      yield* Effect.withTracer(Effect.withSpan(Effect.void, "sql.execute"), tracer)
      assert.isEmpty(names)
      const zeros = Tracer.externalSpan({ traceId: "0".repeat(32), spanId: "0".repeat(16) })
      const span = yield* Effect.makeSpan("request", { parent: zeros }).pipe(Effect.withTracer(tracer))
      assert.isTrue(Option.isNone(span.parent))
    }))

  it.effect("a root that is linked goes by the trace that it is linked with", () =>
    Effect.gen(function*() {
      for (const sampled of [true, false]) {
        const { names, tracer } = recording({ sampler: "parentbased_always_on", ratio: 1 })
        const links = [{ _tag: "SpanLink" as const, span: outside(sampled), attributes: {} }]
        yield* Effect.withTracer(Effect.makeSpan("attempt", { links, root: true }), tracer)
        assert.deepStrictEqual(names, sampled ? ["attempt"] : [])
      }
    }))
})

const hex = (length: number) =>
  FastCheck.string({ unit: FastCheck.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length })
    .filter(
      (text) => !/^0+$/.test(text)
    )

describe("TraceContext", () => {
  it.prop("what it writes it reads", { traceId: hex(32), spanId: hex(16), sampled: FastCheck.boolean() }, (span) => {
    const read = TraceContext.parse(TraceContext.format(Tracer.externalSpan(span)))
    const { sampled, spanId, traceId } = Option.getOrThrow(read)
    return traceId === span.traceId && spanId === span.spanId && sampled === span.sampled
  })

  it("reads the specification's examples, a later version's, and nothing that is not valid", () => {
    const ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
    for (
      const valid of [`00-${ids}-00`, `00-${ids}-01`, `cc-${ids}-01`, `cc-${ids}-01-what-comes-later`, ` 00-${ids}-ff `]
    ) {
      assert.isTrue(Option.isSome(TraceContext.parse(valid)), valid)
    }
    const zeros = "0".repeat(32)
    const invalid = [
      "",
      null,
      undefined,
      `ff-${ids}-01`,
      `00-${ids}-01-more`,
      `00-${ids}-1`,
      `00-${ids}`,
      `00-${ids.toUpperCase()}-01`,
      `00-${zeros}-00f067aa0ba902b7-01`,
      `00-4bf92f3577b34da6a3ce929d0e0e4736-${zeros.slice(16)}-01`
    ]
    for (const text of invalid) assert.isTrue(Option.isNone(TraceContext.parse(text)), String(text))
  })

  it("decides beforehand on what comes from outside, and then records it whatever the sampler says", () => {
    const cases = [
      ["always_on", 0, undefined, true],
      ["always_off", 1, outside(true), false],
      ["traceidratio", 1, outside(false), true],
      ["traceidratio", 0, outside(true), false],
      ["parentbased_traceidratio", 0, outside(true), true],
      ["parentbased_traceidratio", 1, outside(false), false],
      ["parentbased_traceidratio", 1, undefined, true]
    ] as const
    for (const [sampler, ratio, parent, isRecorded] of cases) {
      const { names, tracer } = recording({ sampler, ratio })
      const span = tracer.decline("request", Option.fromNullable(parent), 0n)
      assert.strictEqual(span === null, isRecorded, `${sampler} ${ratio}`)
      if (span !== null && parent !== undefined) assert.strictEqual(span.traceId, parent.traceId)
      assert.isEmpty(names)
      const opened = tracer.recording.span("request", Option.fromNullable(parent), Context.empty(), [], 0n, "server")
      assert.isTrue(opened.sampled)
    }
  })
})
