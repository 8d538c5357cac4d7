/**
 * What the process says: a line of JSON for each record, or something to read where a person looks at it. Lines of one
 * turn of the event loop are written at once, since each write stops the loop.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

export const formats = ["auto", "json", "pretty"] as const
export type Format = typeof formats[number]

/** Instead of whatever logger there is. */
export const layer = (format: Format): Layer.Layer<never> => {
  const isPretty = format === "pretty" || (format === "auto" && process.stdout.isTTY)
  return Layer.mergeAll(
    Logger.remove(Logger.defaultLogger),
    Logger.remove(Logger.prettyLoggerDefault),
    Logger.add(isPretty ? Logger.prettyLogger() : Logger.map(json, write))
  )
}

/** Whether anybody reads what the fiber says at this level: where nobody does, no line need be made. */
export const isWanted = (fiber: Fiber.RuntimeFiber<unknown, unknown>, level: LogLevel.LogLevel): boolean =>
  LogLevel.greaterThanEqual(level, fiber.getFiberRef(FiberRef.currentMinimumLogLevel))

type Fields = Record<string, unknown>

/** One record in one line: message, facts and annotations side by side. */
export const json = Logger.make<unknown, string>(({ annotations, cause, context, date, logLevel, message }) => {
  const { facts, text } = parts(message)
  const fields: Fields = { timestamp: date.toISOString(), level: logLevel.label, message: text }
  const span = spanOf(context)
  if (span !== null) Object.assign(fields, { trace_id: span.traceId, span_id: span.spanId })
  for (const [key, value] of annotations) fields[key] = Inspectable.toJSON(value)
  Object.assign(fields, facts)
  if (!Cause.isEmpty(cause)) fields["error"] = Cause.pretty(cause, { renderErrorCause: true })
  return Inspectable.stringifyCircular(fields)
})

/** For loggers that put a record's annotations beside its message: the facts are some more of them. */
export const withFacts = <Out>(logger: Logger.Logger<unknown, Out>): Logger.Logger<unknown, Out> =>
  Logger.mapInputOptions(logger, (options) => {
    const { facts, text } = parts(options.message)
    const annotations = HashMap.mutate(options.annotations, (all) => {
      for (const [key, value] of Object.entries(facts)) HashMap.set(all, key, value)
    })
    return { ...options, message: text, annotations }
  })

/** What is said in words, and what as data. */
const parts = (message: unknown): { readonly text: string; readonly facts: Fields } => {
  const texts: Array<string> = []
  const facts: Fields = {}
  for (const part of Array.isArray(message) ? message : [message]) add(facts, texts, part)
  return { text: texts.join(" "), facts }
}

/** Objects are facts and stand beside the message; an error is told as one. */
const add = (fields: Fields, texts: Array<string>, part: unknown): void => {
  if (part instanceof Error) fields["error"] = part.stack ?? part.message
  else if (Cause.isCause(part)) fields["error"] = Cause.pretty(part, { renderErrorCause: true })
  else if (isFacts(part)) addFacts(fields, part)
  else texts.push(Inspectable.toStringUnknown(part, 0))
}

/** What is null is not there. */
const addFacts = (fields: Fields, facts: object): void => {
  for (const [key, value] of Object.entries(facts)) if (value != null) fields[key] = told(value)
}

const told = (value: unknown): unknown => value instanceof Error ? value.message : Inspectable.toJSON(value)

const isFacts = (part: unknown): part is object =>
  typeof part === "object" && part !== null && Object.getPrototypeOf(part) === Object.prototype

const spanOf = (context: FiberRefs.FiberRefs): Tracer.AnySpan | null => {
  const services = FiberRefs.getOrDefault(context, FiberRef.currentContext)
  const span = Option.getOrNull(Context.getOption(services, Tracer.ParentSpan))
  return span !== null && span.sampled && span.traceId.length === 32 ? span : null
}

let waiting = ""

const flush = (): void => {
  process.stdout.write(waiting)
  waiting = ""
}

const write = (line: string): void => {
  if (waiting === "") setImmediate(flush)
  waiting += `${line}\n`
}

// What was said last before the end.
process.once("exit", flush)
