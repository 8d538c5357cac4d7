/** Tenants, the keys that act for them, and what each role of a key may do. */
import * as Schema from "effect/Schema"
import { EmailAddress } from "./EmailAddress.ts"
import { ClientId, KeyId } from "./Ids.ts"

export const Client = Schema.Struct({
  id: ClientId,
  name: Schema.NullOr(Schema.String),
  /** Whom to tell of alerts; null where nobody is told. */
  alertEmail: Schema.NullOr(EmailAddress),
  createdAt: Schema.DateTimeUtcFromSelf
})
export interface Client extends Schema.Schema.Type<typeof Client> {}

export const Role = Schema.Literal("operator", "client", "publisher", "viewer")
export type Role = typeof Role.Type

/** What an operation asks of a key. */
export type Permission = "operate" | "publish" | "read" | "write"

const permissions: Record<Role, ReadonlyArray<Permission>> = {
  operator: ["operate", "publish", "read", "write"],
  client: ["publish", "read", "write"],
  publisher: ["publish"],
  viewer: ["read"]
}

export const allows = (role: Role, permission: Permission): boolean => permissions[role].includes(permission)

export const ApiKey = Schema.Struct({
  id: KeyId,
  /** The client that the key acts for. An operator's key belongs to one too, and acts for all. */
  clientId: ClientId,
  role: Role,
  name: Schema.NullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromSelf,
  expiresAt: Schema.NullOr(Schema.DateTimeUtcFromSelf),
  revokedAt: Schema.NullOr(Schema.DateTimeUtcFromSelf)
})
export interface ApiKey extends Schema.Schema.Type<typeof ApiKey> {}

/** Who is asking: decided by the key, and handed to every verb of the service. */
export interface Caller {
  /** Null where no key is involved: the program that embeds the service asks. */
  readonly keyId: KeyId | null
  readonly clientId: ClientId
  readonly role: Role
  /** The address that the request came from; null where it came from within this process. */
  readonly address: string | null
}

/** The tenant whose rows a caller may see and touch; null means every tenant's. */
export const Reach = Schema.Struct({ only: Schema.NullOr(ClientId) })
export interface Reach extends Schema.Schema.Type<typeof Reach> {}

export const reach = (caller: Caller): Reach => ({ only: caller.role === "operator" ? null : caller.clientId })
