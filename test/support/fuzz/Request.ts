/** A plan made into a request: ids looked up, bytes written. And the line of a shell that would send it again. */
import type { Call, Sender } from "../ApiTest.ts"
import type { IdReference } from "./JsonText.ts"
import { write } from "./JsonText.ts"
import type { KnownIds, Owner } from "./KnownIds.ts"
import { toBytes } from "./Mutations.ts"
import type { Authorization, Part, Plan } from "./Plan.ts"

/** Somebody who asks: a key, and the client to whose rows it is bound; null for none, or for all. */
export interface Asker {
  readonly sender: Sender
  readonly client: Owner
}

export interface Request extends Call {
  readonly plan: Plan
  readonly asker: Asker
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array
}

export const make = (plan: Plan, askers: ReadonlyArray<Asker>, ids: KnownIds): Request => {
  const asker = askers[plan.asker % askers.length]
  if (asker === undefined) throw new Error("nobody asks")
  const resolve = (reference: IdReference) => ids.resolve(reference, asker.client)
  const part = (value: Part) =>
    value.kind === "raw" ? value.text : encode(value.kind === "id" ? resolve(value) : value.text)
  const path = plan.operation.path.replace(/\{([^}]+)\}/g, (_, name: string) => {
    const value = plan.path[name]
    return value === undefined ? "" : part(value)
  })
  const query = plan.query.map(([name, value]) => `${part(name)}=${part(value)}`).join("&")
  const authorization = authorize(plan.authorization, asker.sender.token)
  return {
    plan,
    asker,
    method: plan.operation.method,
    path: query === "" ? path : `${path}?${query}`,
    headers: {
      ...(plan.body && { "content-type": "application/json" }),
      ...(authorization === undefined ? {} : { authorization }),
      ...Object.fromEntries(plan.headers)
    },
    ...(plan.body && { body: toBytes(write(plan.body.json, resolve), plan.body.twist) })
  }
}

/** Half a surrogate pair has no UTF-8, and so no percent-encoding. */
const encode = (text: string): string => encodeURIComponent(Buffer.from(text, "utf8").toString("utf8"))

const authorize = (kind: Authorization, token: string | null): string | undefined => {
  if (token === null) return kind === "basic" ? "Basic Og==" : undefined
  return {
    bearer: `Bearer ${token}`,
    lower: `bearer ${token}`,
    basic: `Basic ${token}`,
    bare: token,
    cut: `Bearer ${token.slice(0, -1)}`,
    upper: `Bearer ${token.toUpperCase()}`,
    twice: `Bearer ${token}, Bearer ${token}`,
    empty: "Bearer "
  }[kind]
}

/** The longest body that is shown whole. */
const shownMax = 8_000

export const curl = ({ body, headers, method, path }: Request, port: number): string => {
  const shown = body?.subarray(0, shownMax) ?? new Uint8Array()
  const rest = (body?.length ?? 0) - shown.length
  return [
    `curl -sS -i --path-as-is -X ${method} ${quote(Buffer.from(`http://127.0.0.1:${port}${path}`, "latin1"))}`,
    ...Object.entries(headers).map(([name, value]) => `-H ${quote(Buffer.from(`${name}: ${value}`, "latin1"))}`),
    ...(body === undefined ? [] : [`--data-binary ${quote(shown)}`]),
    ...(rest > 0 ? [`# and ${rest} bytes more`] : [])
  ].join(" ")
}

const quote = (bytes: Uint8Array): string => {
  const escaped = Array.from(bytes, (byte) =>
    byte === 0x27 || byte === 0x5c || byte < 0x20 || byte > 0x7e
      ? `\\x${byte.toString(16).padStart(2, "0")}`
      : String.fromCharCode(byte)).join("")
  return `$'${escaped}'`
}
