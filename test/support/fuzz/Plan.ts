/** A request as it is drawn up from the document, before the ids in it are known. */
import { FastCheck as fc } from "effect"
import type { Described, Parameter } from "../ApiOperations.ts"
import type { IdReference, JsonText } from "./JsonText.ts"
import { mutate, type Twist, twist, untwisted } from "./Mutations.ts"
import { reference, type Schemas } from "./Schemas.ts"

/** A part of the path or the query: looked up, to be percent-encoded, or as it stands. */
export type Part =
  | IdReference
  | { readonly kind: "plain"; readonly text: string }
  | { readonly kind: "raw"; readonly text: string }

export interface Plan {
  readonly operation: Described
  /** Whose key goes with it: counted through those that there are. */
  readonly asker: number
  readonly authorization: Authorization
  readonly path: Readonly<Record<string, Part>>
  readonly query: ReadonlyArray<readonly [Part, Part]>
  readonly headers: ReadonlyArray<readonly [string, string]>
  readonly body: { readonly json: JsonText; readonly twist: Twist } | undefined
}

export type Authorization = typeof authorizations[number]
const authorizations = ["bearer", "lower", "basic", "bare", "cut", "upper", "twice", "empty"] as const

/** Requests to any of the operations: half of them good ones, the others with one thing wrong or several. */
export const arbitrary = (operations: ReadonlyArray<Described>, schemas: Schemas): fc.Arbitrary<Plan> =>
  fc.oneof(...operations.flatMap((operation) => [
    // What is made is to last for a while.
    { weight: operation.method === "DELETE" ? 1 : 3, arbitrary: good(operation, schemas) },
    { weight: 3, arbitrary: bad(operation, schemas) }
  ]))

const often = <A>(usual: fc.Arbitrary<A>, odd: fc.Arbitrary<A>, share: number): fc.Arbitrary<A> =>
  fc.oneof({ weight: 100 - share, arbitrary: usual }, { weight: share, arbitrary: odd })

const good = (operation: Described, schemas: Schemas): fc.Arbitrary<Plan> =>
  fc.record({
    operation: fc.constant(operation),
    asker: fc.nat(1_000),
    authorization: fc.constant("bearer" as const),
    path: goodPath(operation),
    query: goodQuery(operation, schemas),
    headers: goodHeaders(operation, schemas),
    body: operation.body === undefined
      ? fc.constant(undefined)
      : fc.record({ json: schemas.fitting(operation.body), twist: fc.constant(untwisted) })
  })

const bad = (operation: Described, schemas: Schemas): fc.Arbitrary<Plan> =>
  fc.record({
    operation: fc.constant(operation),
    asker: fc.nat(1_000),
    authorization: often<Authorization>(fc.constant("bearer"), fc.constantFrom(...authorizations), 10),
    path: often(goodPath(operation), oddPath(operation), 25),
    query: often(goodQuery(operation, schemas), oddQuery(operation, schemas), 30),
    headers: often(goodHeaders(operation, schemas), oddHeaders, 30),
    body: operation.body === undefined
      ? often(fc.constant(undefined), fc.record({ json: schemas.fitting({}), twist }), 10)
      : fc.record({
        json: fc.oneof(
          schemas.fitting(operation.body),
          mutate(schemas.fitting(operation.body)),
          schemas.atBounds(operation.body)
        ),
        twist: often(fc.constant(untwisted), twist, 30)
      })
  })

/** What the id in a path is an id of: the document shows its prefix, or else it is the collection's before it. */
const kindOf = (path: string, { description = "", name }: Parameter): string =>
  /\b([a-z]{3})_…/.exec(description)?.[1] ?? new RegExp(`/([^/]+)/\\{${name}\\}`).exec(path)?.[1] ?? ""

const parametersIn = (place: Parameter["in"], { parameters }: Described) =>
  parameters.filter((parameter) => parameter.in === place)

const pathOf = (operation: Described, part: (parameter: Parameter) => fc.Arbitrary<Part>) =>
  fc.record(Object.fromEntries(parametersIn("path", operation).map((parameter) => [parameter.name, part(parameter)])))

const goodPath = (operation: Described) =>
  pathOf(operation, (parameter) => reference(kindOf(operation.path, parameter)))

const oddPath = (operation: Described) => pathOf(operation, () => fc.oneof(rawParts, anyPlain, parts("unknown")))

const parts = (...texts: ReadonlyArray<string>): fc.Arbitrary<Part> =>
  fc.constantFrom(...texts).map((text): Part => ({ kind: "raw", text }))

const anyPlain: fc.Arbitrary<Part> = fc.oneof(
  fc.string({ minLength: 1 }),
  fc.string({ minLength: 1, unit: "binary" }),
  fc.constantFrom("' OR ''='", "../../etc/passwd", "a b", "\u0000", "x".repeat(3_000), "é", "😀", "-1", "null")
).map((text): Part => ({ kind: "plain", text }))

/** As they stand in a request's first line: what is no percent-encoding, or one of something odd. */
const rawParts = parts(
  "%00",
  "%",
  "%zz",
  "%c3%28",
  "%ff",
  "%2f",
  "%2F..%2f",
  "%252e",
  "%u0041",
  "%ED%A0%80",
  "...",
  ";a=b",
  "a+b",
  "*",
  ":id",
  "{id}",
  "\u00ff\u00fe",
  "\\",
  "|",
  "x".repeat(1_100)
)

const goodQuery = (operation: Described, schemas: Schemas): fc.Arbitrary<Plan["query"]> => {
  const chosen = parametersIn("query", operation).map(({ name, required, schema }) => {
    const value = name === "cursor" ? reference("cursors") : schemas.fitting(schema, name).map(unquoted)
    const pair = value.map((part): Plan["query"] => [[{ kind: "plain", text: name }, part]])
    return required ? pair : fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: pair })
  })
  return fc.tuple(...chosen).map((pairs) => pairs.flat())
}

const oddQuery = (operation: Described, schemas: Schemas): fc.Arbitrary<Plan["query"]> => {
  const known = parametersIn("query", operation)
  const names = [...known.map(({ name }) => name), "surplus", "__proto__", "constructor", "", "limit[]", "Limit"]
  const bounds = known.map(({ name, schema }) => schemas.atBounds(schema, name).map(unquoted))
  const value = fc.oneof(
    anyPlain,
    rawParts,
    reference("cursors"),
    parts(
      "",
      "0",
      "-1",
      "201",
      "0x10",
      "1e1",
      "1.5",
      "%205",
      "NaN",
      "Infinity",
      "9".repeat(400),
      "TRUE",
      "bm9uc2Vuc2U"
    ),
    ...bounds
  )
  const name = fc.constantFrom(...names).map((text): Part => ({ kind: "plain", text }))
  return fc.array(fc.tuple(name, value), { minLength: 1, maxLength: 3 })
}

/** What JSON writes in quotes stands in a query without them. */
const unquoted = (node: JsonText): Part =>
  node.kind === "id" ? node : { kind: "plain", text: node.kind === "text" ? String(JSON.parse(node.text)) : "" }

const goodHeaders = (operation: Described, schemas: Schemas): fc.Arbitrary<Plan["headers"]> => {
  const chosen = parametersIn("header", operation).map(({ name, schema }) =>
    fc.oneof(
      fc.constant([]),
      schemas.fitting(schema, name).map(unquoted).map((part): Plan["headers"] =>
        part.kind === "plain" && isSendable(part.text) ? [[name, part.text]] : []
      )
    )
  )
  return fc.tuple(...chosen).map((headers) => headers.flat())
}

const isSendable = (value: string): boolean => /^[\t\x20-\x7e\x80-\xff]*$/.test(value)

const oddHeaders: fc.Arbitrary<Plan["headers"]> = fc.oneof(
  fc.constantFrom(
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "application/json; charset=utf-16",
    "application/json;charset=\"iso-8859-1\"",
    "APPLICATION/JSON",
    "application/json, text/plain",
    "application/problem+json",
    "application/octet-stream",
    "json",
    "/",
    ";"
  ).map((type) => ["content-type", type] as const),
  fc.constantFrom("gzip", "br", "deflate", "identity", "IDENTITY", "gzip, identity", "", "x")
    .map((encoding) => ["content-encoding", encoding] as const),
  fc.constantFrom("", "k", "k".repeat(256), "two words", "caf\u00e9", "k\u0000".slice(0, 1), "k, k", "\"k\"", "\t")
    .map((key) => ["idempotency-key", key] as const),
  fc.constantFrom(
    ["accept", "text/html"],
    ["accept", "*/"],
    ["accept-encoding", "gzip;q=2"],
    ["x-http-method-override", "DELETE"],
    ["x-forwarded-for", "127.0.0.1"],
    ["x-forwarded-host", "evil.example"],
    ["traceparent", "00-zz-zz-zz"],
    ["traceparent", "00-00000000000000000000000000000000-0000000000000000-00"],
    ["b3", "-"],
    ["tracestate", "=".repeat(600)],
    ["cookie", "a=b; =; ;"],
    ["range", "bytes=0-1"],
    ["if-none-match", "*"],
    ["x-long", "x".repeat(8_000)]
  ).map(([name = "", value = ""]) => [name, value] as const)
).map((header) => [header])
