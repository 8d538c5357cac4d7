/** How columns read and write: ids as UUIDs, JSON payloads as text. */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import {
  AlertId,
  AttemptId,
  AuditId,
  DeliveryId,
  EventId,
  fromUuid,
  KeyId,
  type Kinds,
  toUuid,
  WebhookId
} from "../domain/Ids.ts"
import { depthMax, JsonValue, parse } from "../domain/Json.ts"

const idColumn = <K extends keyof Kinds>(kind: K, schema: Schema.Schema<Kinds[K], string>) =>
  Schema.transform(Schema.UUID, Schema.typeSchema(schema), {
    strict: true,
    decode: (uuid) => fromUuid(kind, uuid),
    encode: (id) => toUuid(id)
  })

export const AlertUuid = idColumn("AlertId", AlertId)
export const AttemptUuid = idColumn("AttemptId", AttemptId)
export const AuditUuid = idColumn("AuditId", AuditId)
export const DeliveryUuid = idColumn("DeliveryId", DeliveryId)
export const EventUuid = idColumn("EventId", EventId)
export const KeyUuid = idColumn("KeyId", KeyId)
export const WebhookUuid = idColumn("WebhookId", WebhookId)

export const Timestamp = Schema.DateTimeUtcFromDate

/** Stored JSON is only ever read through this: what is written was made canonical by the one who hands it over. */
export const JsonFromText = Schema.transformOrFail(Schema.String, Schema.typeSchema(JsonValue), {
  strict: true,
  decode: (text, _, ast) =>
    Either.mapLeft(parse(text, { maxDepth: depthMax + 16 }), (error) => new ParseResult.Type(ast, text, error.message)),
  encode: (json, _, ast) => ParseResult.fail(new ParseResult.Forbidden(ast, json, "stored JSON is read only"))
})
