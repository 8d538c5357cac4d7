/**
 * What a verb of the service refuses, and why. Codes are stable: programs depend on them. The HTTP API turns each kind
 * into one status; the domain knows none.
 */
import * as Data from "effect/Data"
import type { Permission } from "./Client.ts"

/** Where in the input something is wrong, and what would be right. */
export interface Issue {
  /** Dotted path into the input, as `events.0`; empty for the input as a whole. */
  readonly path: string
  readonly code: string
  readonly message: string
}

export type Resource = "alert" | "api_key" | "client" | "delivery" | "event" | "event_type" | "webhook"

/** There is no such row, or it is another tenant's: the two must look the same. */
export class NotFound extends Data.TaggedError("NotFound")<{ readonly resource: Resource; readonly id: string }> {
  override get message() {
    return `There is no ${this.resource.replace("_", " ")} ${this.id}.`
  }
}

/** The key's role does not reach so far. */
export class Forbidden
  extends Data.TaggedError("Forbidden")<{ readonly role: string; readonly permission: Permission }>
{
  override get message() {
    return `A key of role ${this.role} has no permission to ${this.permission} here.`
  }
}

/** The input breaks a rule; the first issue's code is the refusal's. */
export class Invalid
  extends Data.TaggedError("Invalid")<{ readonly issues: readonly [Issue, ...ReadonlyArray<Issue>] }>
{
  get code() {
    return this.issues[0].code
  }
  override get message() {
    return this.issues.map(({ message, path }) => path === "" ? message : `${path}: ${message}`).join("; ")
  }
  static one(path: string, code: string, message: string): Invalid {
    return new Invalid({ issues: [{ path, code, message }] })
  }
}

/** The input is well-formed, and the present state does not admit it. */
export class Conflict extends Data.TaggedError("Conflict")<{
  readonly code: "already_exists" | "idempotency_key_reused" | "not_retryable" | "webhook_inactive"
  readonly message: string
}> {}

/** More bytes than the operator allows. */
export class TooLarge extends Data.TaggedError("TooLarge")<{ readonly code: string; readonly message: string }> {}

export type Refusal = Conflict | Forbidden | Invalid | NotFound | TooLarge
