/** The route of the audit log. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { AuditAction, AuditEntry } from "../domain/Audit.ts"
import { ClientId } from "../domain/Ids.ts"
import { Text } from "../domain/Text.ts"
import { Authentication } from "./Authentication.ts"
import * as Paging from "./Paging.ts"
import * as Problem from "./Problem.ts"
import * as SnakeCase from "./SnakeCase.ts"

export const AuditEntryResource = SnakeCase.struct({ ...AuditEntry.fields, createdAt: Schema.DateTimeUtc }).annotations(
  {
    identifier: "AuditEntry"
  }
)

export const AuditPage = Paging.response(AuditEntryResource)

const Query = SnakeCase.query({
  ...Paging.fields,
  action: Schema.optional(AuditAction),
  resourceId: Schema.optional(
    Text.pipe(Schema.minLength(1), Schema.maxLength(128)).annotations({
      description: "What it was done to: an id, or the name of a client or an event type."
    })
  ),
  clientId: Schema.optional(ClientId)
})

export class AuditApi extends HttpApiGroup.make("audit")
  .add(
    HttpApiEndpoint.get("list", "/api/audit")
      .setUrlParams(Query)
      .addSuccess(AuditPage)
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "Who changed what, was shown a secret, or had a delivery sent again")
  )
  .middleware(Authentication)
{}
