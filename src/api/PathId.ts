/** Ids in paths. One that is misspelt answers as one that is unknown: 404, not 422. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { NotFound, type Resource } from "../domain/Refusal.ts"

/** The path parameter: a text, shown in the document as the id it ought to be. */
export const parameter = (description: string) => Schema.String.annotations({ description })

export const decode = <A extends string>(resource: Resource, schema: Schema.Schema<A, string>) => {
  const parse = Schema.decodeOption(schema)
  return (id: string): Effect.Effect<A, NotFound> => Effect.mapError(parse(id), () => new NotFound({ resource, id }))
}
