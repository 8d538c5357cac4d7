/** Routes of tenants and their keys, for operators. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { ApiKey, Client, Role } from "../domain/Client.ts"
import { EmailAddress } from "../domain/EmailAddress.ts"
import { ClientId } from "../domain/Ids.ts"
import { Moment } from "../domain/Moment.ts"
import { Text } from "../domain/Text.ts"
import * as Secret from "../signing/Secret.ts"
import { Authentication } from "./Authentication.ts"
import * as Paging from "./Paging.ts"
import * as PathId from "./PathId.ts"
import * as Problem from "./Problem.ts"
import * as SnakeCase from "./SnakeCase.ts"

const Name = Text.pipe(Schema.trimmed(), Schema.minLength(1), Schema.maxLength(120))

const ClientResource = SnakeCase.struct({ ...Client.fields, createdAt: Schema.DateTimeUtc }).annotations({
  identifier: "Client"
})

const keyFields = {
  ...ApiKey.fields,
  createdAt: Schema.DateTimeUtc,
  expiresAt: Schema.NullOr(Schema.DateTimeUtc),
  revokedAt: Schema.NullOr(Schema.DateTimeUtc)
}

const KeyResource = SnakeCase.struct(keyFields).annotations({ identifier: "ApiKey" })

const IssuedKeyResource = SnakeCase.struct({
  ...keyFields,
  token: Secret.described(Schema.String, "What to send as Bearer; shown this once.")
}).annotations({ identifier: "IssuedApiKey" })

const alertEmail = Schema.NullOr(EmailAddress).annotations({
  description: "Whom to mail alerts about the client's webhooks to, where the service can send mail; null for nobody."
})

const NewClient = SnakeCase.input({
  id: ClientId,
  name: Schema.optionalWith(Schema.NullOr(Name), { default: () => null }),
  alertEmail: Schema.optionalWith(alertEmail, { default: () => null })
})

const ClientChanges = SnakeCase.input({
  name: Schema.optional(Schema.NullOr(Name)),
  alertEmail: Schema.optional(alertEmail)
})

const NewKey = SnakeCase.input({
  role: Role,
  name: Schema.optionalWith(Schema.NullOr(Name), { default: () => null }),
  expiresAt: Schema.optionalWith(Schema.NullOr(Moment), { default: () => null })
})

const path = Schema.Struct({ id: PathId.parameter("Client id") })

export class ClientsApi extends HttpApiGroup.make("clients")
  .add(
    HttpApiEndpoint.get("list", "/")
      .setUrlParams(SnakeCase.query(Paging.fields))
      .addSuccess(Paging.response(ClientResource))
      .annotate(OpenApi.Summary, "List clients (operator)")
  )
  .add(
    HttpApiEndpoint.post("create", "/")
      .setPayload(NewClient)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(ClientResource, { status: 201 })
      .addError(Problem.conflict)
      .annotate(OpenApi.Summary, "Create a client (operator)")
  )
  .add(
    HttpApiEndpoint.patch("update", "/:id")
      .setPath(path)
      .setPayload(ClientChanges)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(ClientResource)
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "Change a client; what is absent stays as it is (operator)")
  )
  .add(
    HttpApiEndpoint.get("listKeys", "/:id/keys")
      .setPath(path)
      .setUrlParams(SnakeCase.query(Paging.fields))
      .addSuccess(Paging.response(KeyResource))
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "List a client's keys (operator)")
  )
  .add(
    HttpApiEndpoint.post("issueKey", "/:id/keys")
      .setPath(path)
      .setPayload(NewKey)
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(IssuedKeyResource, { status: 201 })
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "Issue a key; its token is in the answer, this once (operator)")
  )
  .add(
    HttpApiEndpoint.del("revokeKey", "/:id/keys/:key")
      .setPath(Schema.Struct({ id: PathId.parameter("Client id"), key: PathId.parameter("Key id: key_…") }))
      .setUrlParams(SnakeCase.noQuery)
      .addSuccess(Schema.Void, { status: 204 })
      .addError(Problem.notFound)
      .annotate(OpenApi.Summary, "Revoke a key for good (operator)")
  )
  .middleware(Authentication)
  .prefix("/api/clients")
{}
