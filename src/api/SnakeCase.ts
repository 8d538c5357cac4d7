/** The wire is snake_case, the code is camelCase: a struct whose encoded keys are spelled the wire's way. */
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

type Fields = Schema.Struct.Fields

const toSnakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

type Signature = Schema.PropertySignature<":" | "?:", unknown, PropertyKey, ":" | "?:", unknown, boolean>

/** `struct({ clientId: S })` reads and writes `{ client_id: … }`. */
export const struct = <F extends Fields>(fields: F): Schema.Schema<Schema.Struct.Type<F>, object> => {
  const renamed: Record<string, Schema.Struct.Field> = {}
  for (const [key, field] of Object.entries(fields)) {
    const signature = Schema.isPropertySignature(field) ? field : Schema.propertySignature(field as Schema.Schema.All)
    renamed[key] = Schema.fromKey(signature as unknown as Signature, toSnakeCase(key))
  }
  return Schema.Struct(renamed) as unknown as Schema.Schema<Schema.Struct.Type<F>, object>
}

/** What clients send: unknown members are refused, and all that is wrong is said at once. */
export const input = <F extends Fields>(fields: F): Schema.Schema<Schema.Struct.Type<F>, object> =>
  struct(fields).annotations({ parseOptions: { onExcessProperty: "error", errors: "all" } })

/** The same for a query string, whose encoded values are strings. */
export const query = <F extends Fields>(fields: F) =>
  input(fields) as unknown as Schema.Schema<Schema.Struct.Type<F>, { readonly [name: string]: string | undefined }>

/** Of a route that takes no query: there a parameter is as unknown as a misspelt one elsewhere. */
export const noQuery: Schema.Schema<{}> = Schema.declare([], {
  decode: () => (input, _, ast) => {
    const [name] = typeof input === "object" && input !== null ? Object.keys(input) : []
    return name === undefined
      ? ParseResult.succeed({})
      : ParseResult.fail(
        new ParseResult.Composite(ast, input, new ParseResult.Pointer(name, input, new ParseResult.Unexpected(input)))
      )
  },
  encode: () => () => ParseResult.succeed({})
}, { jsonSchema: { type: "object", properties: {}, required: [], additionalProperties: false } })
