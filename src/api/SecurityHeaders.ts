/**
 * What every answer says to a browser, refusals below the API among them: it is what it says it is, it is for the one
 * who asked, it loads nothing, and no other site may frame or embed it. There is no Strict-Transport-Security: that is
 * for whoever ends TLS to promise, and we speak plain HTTP.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { createHash } from "node:crypto"

export const headers = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY"
} as const

export const set = (response: HttpServerResponse.HttpServerResponse): HttpServerResponse.HttpServerResponse => {
  const { body } = response
  const isPage = body._tag === "Uint8Array" && body.contentType.startsWith("text/html")
  return HttpServerResponse.setHeaders(
    response,
    isPage ? { ...headers, "content-security-policy": policyOf(body.body) } : headers
  )
}

const policies = new WeakMap<Uint8Array, string>()

/** The page of the document may run the scripts that stand in it, and no others. It is always the same bytes. */
const policyOf = (page: Uint8Array): string => {
  const known = policies.get(page)
  if (known !== undefined) return known
  const scripts = Buffer.from(page).toString().matchAll(/<script>([^]*?)<\/script>/g)
  const hashes = Array.from(
    scripts,
    ([, script = ""]) => `'sha256-${createHash("sha256").update(script).digest("base64")}'`
  )
  const policy = [
    "default-src 'none'",
    `script-src ${hashes.join(" ")}`,
    // Swagger UI may size and colour what it shows through style attributes.
    "style-src 'unsafe-inline'",
    "img-src data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join("; ")
  policies.set(page, policy)
  return policy
}
