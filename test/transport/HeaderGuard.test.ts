import { assert, describe, it } from "@effect/vitest"
import { Either, FastCheck as fc } from "effect"
import * as HeaderGuard from "../../src/transport/HeaderGuard.ts"

const codeOf = (headers: Readonly<Record<string, string>>): string =>
  Either.match(HeaderGuard.check(headers), { onLeft: ({ code }) => code, onRight: () => "ok" })

const many = (count: number, length: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`X-${i}`, "a".repeat(length)]))

describe("HeaderGuard", () => {
  it("accepts ordinary headers", () => {
    assert.strictEqual(codeOf({}), "ok")
    assert.strictEqual(
      codeOf({ Authorization: "Bearer abc", "X-Tenant": "caf\u00e9", "X-Empty": "", "X-Tab": "a\tb" }),
      "ok"
    )
  })

  it("A10 refuses characters that HTTP does not allow", () => {
    for (const value of ["a\rb", "a\nb", "a\r\nX-Evil: 1", "a\u0000b", "a\u007fb", "日本", "\u0100"]) {
      assert.strictEqual(codeOf({ "X-A": value }), "header_invalid", JSON.stringify(value))
    }
    for (const name of ["", " ", "X A", "X:A", "X\r\nY", "X\u0000", "Ä", "X(A)", "a".repeat(257)]) {
      assert.strictEqual(codeOf({ [name]: "a" }), "header_invalid", JSON.stringify(name))
    }
  })

  it("A11 refuses what the service sets, in any case", () => {
    const names = [
      "Host",
      "Content-Length",
      "Transfer-Encoding",
      "Connection",
      "Keep-Alive",
      "Proxy-Authorization",
      "Proxy-Connection",
      "TE",
      "Trailer",
      "Upgrade",
      "Expect",
      "HTTP2-Settings",
      "Content-Type",
      "Content-Encoding",
      "Accept-Encoding",
      "User-Agent",
      "webhook-id",
      "webhook-anything",
      "X-Signature",
      "X-Previous-Signature",
      "X-Deeper_Hub-Signature",
      "X-Webhook-ID",
      "X-Delivery-ID",
      "X-Event-Type"
    ]
    for (const name of names) {
      for (const spelling of [name, name.toLowerCase(), name.toUpperCase()]) {
        assert.strictEqual(codeOf({ [spelling]: "a" }), "header_reserved", spelling)
      }
    }
  })

  it("A11 refuses two names that differ only in case", () => {
    assert.strictEqual(codeOf({ "X-A": "1", "x-a": "2" }), "header_invalid")
  })

  it("A12 refuses too many headers and too long values", () => {
    assert.strictEqual(codeOf(many(20, 1)), "ok")
    assert.strictEqual(codeOf(many(21, 1)), "header_limit")
    assert.strictEqual(codeOf(many(1, 4_096)), "ok")
    assert.strictEqual(codeOf(many(1, 4_097)), "header_limit")
    assert.strictEqual(codeOf(many(3, 4_096)), "ok")
    assert.strictEqual(codeOf(many(4, 4_096)), "header_limit")
  })

  it.prop("never repeats a value in its message", [fc.string(), fc.string({ minLength: 8 })], ([name, value]) => {
    const checked = HeaderGuard.check({ [name]: value })
    fc.pre(!name.includes(value))
    if (Either.isLeft(checked)) assert.notInclude(checked.left.message, value)
  })
})
