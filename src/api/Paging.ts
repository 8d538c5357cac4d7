/** Lists: `?limit=&cursor=` in, `{data, page: {next_cursor, limit}}` out, newest first. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Schema from "effect/Schema"
import { ClientId } from "../domain/Ids.ts"
import type { Page, PageRequest } from "../domain/Page.ts"
import { Invalid } from "../domain/Refusal.ts"
import * as SnakeCase from "./SnakeCase.ts"
import * as WholeNumber from "./WholeNumber.ts"

const limitDefault = 50

/** The query of every list. */
export const fields = {
  limit: Schema.optionalWith(
    WholeNumber.between(1, 200, `Rows of one page, 1 to 200; ${limitDefault} where absent.`),
    { default: () => limitDefault }
  ),
  cursor: Schema.optional(
    Schema.String.annotations({ description: "`page.next_cursor` of the page before." })
  )
}

interface Query {
  readonly limit: number
  readonly cursor?: string | undefined
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Of a list whose rows have UUIDs. */
export const request = (query: Query): Effect.Effect<PageRequest, Invalid> => decode(query, (id) => uuid.test(id))

/** Of the list of clients, whose ids are names. */
export const requestByName = (query: Query): Effect.Effect<PageRequest, Invalid> => decode(query, Schema.is(ClientId))

const decode = ({ cursor, limit }: Query, isId: (id: string) => boolean): Effect.Effect<PageRequest, Invalid> => {
  if (cursor === undefined) return Effect.succeed({ limit, after: null })
  const after = Either.getOrNull(Encoding.decodeBase64UrlString(cursor))
  return after !== null && isId(after)
    ? Effect.succeed({ limit, after })
    : Effect.fail(Invalid.one("cursor", "cursor_invalid", "expected the next_cursor of the page before"))
}

export const response = <A, I>(row: Schema.Schema<A, I>) =>
  Schema.Struct({
    data: Schema.Array(row),
    page: SnakeCase.struct({ nextCursor: Schema.NullOr(Schema.String), limit: Schema.Int })
  })

export const toResponse = <A, B>({ data, next }: Page<A>, limit: number, toRow: (row: A) => B) => ({
  data: data.map(toRow),
  page: { nextCursor: next === null ? null : Encoding.encodeBase64Url(next), limit }
})
