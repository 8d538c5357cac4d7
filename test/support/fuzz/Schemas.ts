/** Values that fit a JSON Schema of the document, and values that just do not. */
import { FastCheck as fc } from "effect"
import * as Json from "./JsonText.ts"

/** A JSON Schema, or a whole document: read as it comes. */
export type Schema = ReturnType<typeof JSON.parse>

/** What the names of fields and parameters mean that their schemas cannot say: values for them, as JSON has them. */
export type Vocabulary = Readonly<Record<string, fc.Arbitrary<Json.JsonText>>>

/** Texts of the service's own kinds: whichever fits a pattern is used for it, beside what the pattern alone makes. */
const samples = [
  "2025-02-20T09:34:00Z",
  "2031-12-31T23:59:59.999999999-03:00",
  "2024-02-29",
  "0001-01-01",
  "9999-12-31T23:59:59Z",
  "deal.won",
  "deal.created",
  "deal.*",
  "customer.email"
]

export interface Schemas {
  readonly fitting: (schema: Schema, name?: string) => fc.Arbitrary<Json.JsonText>
  /** At its bounds, or one step beyond. */
  readonly atBounds: (schema: Schema, name?: string) => fc.Arbitrary<Json.JsonText>
}

export const make = (document: Schema, vocabulary: Vocabulary): Schemas => {
  const fitting = (schema: Schema, name = ""): fc.Arbitrary<Json.JsonText> => {
    const meant = vocabulary[name]
    if (meant !== undefined) {
      return fc.oneof({ weight: 19, arbitrary: meant }, { weight: 1, arbitrary: plain(schema, name) })
    }
    return plain(schema, name)
  }

  const plain = (given: Schema, name: string): fc.Arbitrary<Json.JsonText> => {
    const schema = merged(document, given)
    if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum.map(Json.scalar))
    const either = schema.anyOf ?? schema.oneOf
    if (Array.isArray(either)) return fc.oneof(...either.map((option: Schema) => fitting(option, name)))
    if (Array.isArray(schema.type)) {
      const types: ReadonlyArray<string> = schema.type
      return fc.oneof(...types.map((type) => plain({ ...schema, type }, name)))
    }
    return ofType(schema, name)
  }

  const ofType = (schema: Schema, name: string): fc.Arbitrary<Json.JsonText> => {
    switch (schema.type) {
      case "object":
        return objectOf(schema, fitting)
      case "array": {
        const minLength: number = schema.minItems ?? 0
        const maxLength = Math.min(schema.maxItems ?? 4, minLength + 3)
        return fc.array(schema.items === undefined ? anyJson : fitting(schema.items), { minLength, maxLength })
          .map(Json.array)
      }
      case "integer":
        return integer(schema).map(Json.scalar)
      case "number":
        return fc.oneof(integer(schema), fc.double({ noNaN: true, noDefaultInfinity: true, ...range(schema) }))
          .map(Json.scalar)
      case "boolean":
        return fc.boolean().map(Json.scalar)
      case "null":
        return fc.constant(Json.scalar(null))
      case "string":
        return stringOf(schema, name)
      default:
        return anyJson
    }
  }

  const atBounds = (given: Schema, name = ""): fc.Arbitrary<Json.JsonText> => {
    const schema = merged(document, given)
    const either = schema.anyOf ?? schema.oneOf
    if (Array.isArray(either)) return fc.oneof(...either.map((option: Schema) => atBounds(option, name)))
    const numbers = [schema.minimum, schema.maximum].filter((bound) => typeof bound === "number")
    if (numbers.length > 0) {
      const beyond = [schema.minimum - 1, schema.maximum + 1, schema.minimum + 0.5]
      const within = name in vocabulary ? [] : numbers
      return fc.constantFrom(...[...beyond, ...within].filter(Number.isFinite).map(Json.scalar))
    }
    if (schema.type === "string") {
      const lengths = [schema.minLength, schema.maxLength].filter((bound) => typeof bound === "number")
      const sizes = [0, 10_000, ...lengths.flatMap((length: number) => [length - 1, length, length + 1])]
      return fc.tuple(fc.constantFrom(...sizes), fc.constantFrom("a", "é", "😀", " "))
        .map(([size, unit]) => Json.scalar(unit.repeat(Math.max(size, 0))))
    }
    if (schema.type === "array") {
      // A long list at its bound would be done as asked, and what a thousand of anything cost is not the question here.
      const within = schema.maxItems <= 100 ? [schema.maxItems] : []
      const sizes = [0, ...within, (schema.maxItems ?? 1_000) + 1]
      return fc.tuple(fc.constantFrom(...sizes), fitting(schema.items ?? {}))
        .map(([size, item]) => Json.array(Array.from({ length: size }, () => item)))
    }
    return schema.type === "object" && schema.properties !== undefined ? objectOf(schema, atBounds) : anyJson
  }

  return { fitting, atBounds }
}

/** The schema with what it refers to, and all that has to hold besides, put into one; its patterns in a list. */
const merged = (document: Schema, schema: Schema): Schema => {
  const { $ref, allOf = [], ...own } = schema
  const referred = typeof $ref === "string" ? [document.components.schemas[$ref.split("/").at(-1) ?? ""]] : []
  const parts = [...referred, ...allOf].map((part: Schema) => merged(document, part))
  const patterns = [...parts.flatMap((part) => part.patterns ?? []), ...(own.patterns ?? [own.pattern])]
  return Object.assign({}, ...parts, own, { patterns: patterns.filter((pattern) => pattern !== undefined) })
}

const range = ({ maximum, minimum }: Schema) => ({
  min: typeof minimum === "number" ? minimum : -1_000_000,
  max: typeof maximum === "number" ? maximum : 1_000_000
})

const integer = (schema: Schema) => fc.integer(range(schema))

/** Any text that a JSON string can spell: also what nobody would type. */
const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: "binary" }),
  fc.array(fc.nat(0xffff), { maxLength: 8 }).map((units) => String.fromCharCode(...units)),
  fc.constantFrom("\u0000", "\u202Eevil\u202C", "<script>alert(1)</script>", "' OR ''='", "__proto__", "\uFEFF", "=1+1")
)

const anyObject = (value: fc.Arbitrary<Json.JsonText>) =>
  fc.uniqueArray(fc.tuple(fc.oneof(anyText, fc.constantFrom("__proto__", "constructor", "password")), value), {
    maxLength: 4,
    selector: ([key]) => key
  }).map(Json.object)

export const anyJson: fc.Arbitrary<Json.JsonText> = fc.letrec<{ value: Json.JsonText }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    anyText.map(Json.scalar),
    fc.constantFrom(null, true, false, 0, -1, 1.5).map(Json.scalar),
    fc.constantFrom("1000.00", "12345678901234567890123", "-0.0", "5e-324", "1e308", "1E+2").map(Json.text),
    fc.array(tie("value"), { maxLength: 4 }).map(Json.array),
    anyObject(tie("value"))
  )
})).value

const objectOf = (schema: Schema, valueOf: (schema: Schema, name?: string) => fc.Arbitrary<Json.JsonText>) => {
  const required = new Set<string>(schema.required ?? [])
  const members = Object.entries<Schema>(schema.properties ?? {}).map(([name, property]) => {
    const member = valueOf(property, name).map((value) => [[name, value] as const])
    return required.has(name) ? member : fc.oneof(member, fc.constant([]))
  })
  return fc.tuple(fc.tuple(...members), others(schema)).map(([own, rest]) => Json.object([...own.flat(), ...rest]))
}

/** Members beyond those that are named, where the schema has room for any. */
const others = (schema: Schema): fc.Arbitrary<ReadonlyArray<readonly [string, Json.JsonText]>> => {
  const isOpen = schema.additionalProperties !== false
  if (!isOpen) return fc.constant([])
  const isOfText = (schema.patternProperties?.[""] ?? schema.additionalProperties)?.type === "string"
  if (!isOfText) return anyObject(anyJson).map((node) => node.kind === "object" ? node.members : [])
  return fc.dictionary(fc.stringMatching(/^X-[A-Z][a-z]{1,8}$/), fc.stringMatching(/^[ -~]{0,20}$/), { maxKeys: 3 })
    .map((headers) => Object.entries(headers).map(([key, value]) => [key, Json.scalar(value)] as const))
}

const typeIdPattern = /^\^([a-z]+)_\[0-7\]/

const stringOf = (schema: Schema, name: string): fc.Arbitrary<Json.JsonText> => {
  const patterns: ReadonlyArray<RegExp> = schema.patterns.map((pattern: string) => new RegExp(pattern, "u"))
  const [first] = patterns
  const prefix = typeIdPattern.exec(first?.source ?? "")?.[1]
  if (prefix !== undefined) return idOf(prefix)
  if (name.endsWith("_id")) return idOf(`${name.slice(0, -3)}s`)
  const fits = (value: string) =>
    value.length >= (schema.minLength ?? 0) && value.length <= (schema.maxLength ?? 1_000) &&
    patterns.every((pattern) => pattern.test(value))
  const made = (first === undefined ? anyText : fc.stringMatching(first, { size: "small" })).filter(fits)
  const wellKnown = [...(schema.examples ?? []), ...(first === undefined ? [] : samples)].filter(fits)
  if (wellKnown.length === 0) return made.map(Json.scalar)
  // What fits the pattern of a moment is seldom one.
  return fc.oneof({ weight: 1, arbitrary: made }, { weight: 4, arbitrary: fc.constantFrom(...wellKnown) }).map(
    Json.scalar
  )
}

export const idOf = (of: string): fc.Arbitrary<Json.JsonText> => reference(of)

/** Mostly of something that is there and the asker's own. */
export const reference = (of: string): fc.Arbitrary<Json.IdReference> =>
  fc.record({
    kind: fc.constant("id" as const),
    of: fc.constant(of),
    whose: fc.oneof(
      { weight: 16, arbitrary: fc.constant("own" as const) },
      { weight: 2, arbitrary: fc.constant("all" as const) },
      { weight: 1, arbitrary: fc.constant("gone" as const) },
      { weight: 1, arbitrary: fc.constant("unknown" as const) }
    ),
    nth: fc.nat(10_000)
  })
