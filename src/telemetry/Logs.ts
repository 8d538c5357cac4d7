/**
 * What the process says: a line of JSON for each record, or something to read where a person looks at it. Lines of one
 * turn of the event loop are written at once, since each write stops the loop.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Tracer from "effect/Tracer"
import * as Tracing from "./Tracing.ts"

export const formats = ["auto", "json", "pretty"] as const
export type Format = typeof formats[number]

/** Instead of whatever logger there is. */
export const layer = (format: Format): Layer.Layer<never> => {
  const isPretty = format === "pretty" || (format === "auto" && process.stdout.isTTY)
  return Layer.mergeAll(
    Logger.remove(Logger.defaultLogger),
    Logger.remove(Logger.prettyLoggerDefault),
    Logger.replace(Logger.tracerLogger, spanEvents),
    Logger.add(isPretty ? Logger.prettyLogger() : Logger.map(json, write))
  )
}

/** Effect's own one makes the event of a log record also for a span that keeps none. */
const spanEvents = Logger.make<unknown, void>((options) => {
  if (spanOf(options.context) !== null) Logger.tracerLogger.log(options)
})

/** Whether anybody reads what the fiber says at this level: where nobody does, no line need be made. */
export const isWanted = (fiber: Fiber.RuntimeFiber<unknown, unknown>, level: LogLevel.LogLevel): boolean =>
  LogLevel.greaterThanEqual(level, fiber.getFiberRef(FiberRef.currentMinimumLogLevel))

type Fields = Record<string, unknown>

/** What a record says. */
export interface Said {
  readonly text: string
  /** Its facts, its annotations and its error, by their names. */
  readonly fields: Readonly<Fields>
  /** That it belongs to; null where none is recorded. */
  readonly span: Tracer.AnySpan | null
}

/** Every logger reads the same record, one after the other; it has a date of its own. */
let latest: { readonly date: Date; readonly said: Said } | undefined

export const read = (record: Logger.Logger.Options<unknown>): Said => {
  if (latest?.date !== record.date) latest = { date: record.date, said: said(record) }
  return latest.said
}

const said = ({ annotations, cause, context, message }: Logger.Logger.Options<unknown>): Said => {
  const texts: Array<string> = []
  const fields: Fields = {}
  for (const [key, value] of annotations) fields[key] = told(value)
  for (const part of Array.isArray(message) ? message : [message]) add(fields, texts, part)
  if (!Cause.isEmpty(cause)) fields["error"] = Cause.pretty(cause, { renderErrorCause: true })
  return { text: texts.join(" "), fields, span: spanOf(context) }
}

/** One record in one line: message, facts and annotations side by side. */
export const json = Logger.make<unknown, string>((options) => {
  const { fields, span, text } = read(options)
  return line({
    timestamp: options.date.toISOString(),
    level: options.logLevel.label,
    message: text,
    ...(span === null ? {} : { trace_id: span.traceId, span_id: span.spanId }),
    ...fields
  })
})

/** Most records hold nothing that may hold itself, or a secret: they are written at a fraction of the price. */
const line = (record: Fields): string => {
  if (Object.values(record).every(isPlain)) return JSON.stringify(record)
  try {
    return Inspectable.stringifyCircular(record)
  } catch {
    // A BigInt deep within: what cannot be written in JSON is written as text.
    return JSON.stringify(Record.map(record, (value) => isPlain(value) ? value : Inspectable.toStringUnknown(value)))
  }
}

const isPlain = (value: unknown): boolean => typeof value !== "object" || value === null

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

const told = (value: unknown): unknown => {
  if (value instanceof Error) return value.message
  return typeof value === "bigint" ? String(value) : Inspectable.toJSON(value)
}

const isFacts = (part: unknown): part is object =>
  typeof part === "object" && part !== null && Object.getPrototypeOf(part) === Object.prototype

const spanOf = (context: FiberRefs.FiberRefs): Tracer.AnySpan | null => {
  const services = FiberRefs.getOrDefault(context, FiberRef.currentContext)
  const span = Option.getOrNull(Context.getOption(services, Tracer.ParentSpan))
  return span !== null && span.sampled && Tracing.hasIds(span) ? span : null
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
