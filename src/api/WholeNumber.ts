/** A whole number in a query string: digits, and nothing that `Number` would read as digits too (`0x10`, `1e2`, ` 5`). */
import * as Schema from "effect/Schema"

export const between = (minimum: number, maximum: number, description: string) => {
  const digits = Schema.String.pipe(
    Schema.pattern(/^\d+$/, { message: () => `expected a whole number from ${minimum} to ${maximum}` })
  )
  return Schema.compose(digits, Schema.NumberFromString.pipe(Schema.int(), Schema.between(minimum, maximum)))
    .annotations({ description, jsonSchema: { type: "integer", minimum, maximum, description } })
}
