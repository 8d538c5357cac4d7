import { assert, describe, it } from "@effect/vitest"
import { Either, Redacted } from "effect"
import * as SmtpServer from "../../src/transport/SmtpServer.ts"

const read = (url: string) => SmtpServer.fromUrl(Redacted.make(url))

const server = (url: string) => {
  const { encryption, host, login, port } = Either.getOrThrow(read(url))
  return { encryption, host, port, login: login === null ? null : [login.user, Redacted.value(login.password)] }
}

describe("the URL of a mail server", () => {
  it("names host, port, encryption and login", () => {
    assert.deepStrictEqual(server("smtp://mail.example.com"), {
      host: "mail.example.com",
      port: 587,
      encryption: "starttls",
      login: null
    })
    assert.deepStrictEqual(server("smtps://ops%40example.com:p%2Fw%3A%40@mail.example.com:2465/"), {
      host: "mail.example.com",
      port: 2_465,
      encryption: "tls",
      login: ["ops@example.com", "p/w:@"]
    })
    assert.strictEqual(server("smtps://mail.example.com").port, 465)
  })

  it("has no encryption forced on this machine, or where its operator says so", () => {
    for (const host of ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"]) {
      assert.strictEqual(server(`smtp://${host}:25`).encryption, "optional", host)
      assert.strictEqual(server(`smtps://${host}`).encryption, "tls", host)
    }
    assert.strictEqual(server("smtp://[::1]").host, "::1")
    assert.strictEqual(server("smtp://mail:1025?starttls=optional").encryption, "optional")
    for (const host of ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1"]) {
      assert.strictEqual(server(`smtp://${host}`).encryption, "starttls", host)
    }
  })

  it("is refused where it is none, without a word of what it was", () => {
    const wrong = [
      "",
      "mail.example.com",
      "http://s3cret@mail.example.com",
      "smtp:s3cret",
      "smtp://",
      "smtp://u:s3cret@mail.example.com:99999",
      "smtp://mail.example.com/s3cret",
      "smtp://mail.example.com?s3cret=1",
      "smtp://mail.example.com?starttls=optional&s3cret",
      "smtp://mail.example.com#s3cret",
      "smtp://u:s3cret%@mail.example.com"
    ]
    for (const url of wrong) {
      const said = read(url)
      assert(Either.isLeft(said), url)
      assert.notInclude(said.left, "s3cret")
      assert.isNotEmpty(said.left)
    }
  })
})
