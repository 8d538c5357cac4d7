import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Queue, Redacted } from "effect"
import { EmailAddress } from "../../src/domain/EmailAddress.ts"
import { type Mail, Mailer, type MailRefused, type MailServerAway } from "../../src/transport/Mailer.ts"
import * as SmtpServer from "../../src/transport/SmtpServer.ts"
import * as Certificates from "../support/Certificates.ts"
import { soon } from "../support/Eventually.ts"
import * as MailServer from "../support/MailServer.ts"

const from = EmailAddress.make("hooks@example.com")

const mail: Mail = {
  to: EmailAddress.make("ops@acme.example"),
  subject: "Webhook Pão was switched off",
  text: `Olá,\n\n${"a long line ".repeat(20)}\n.\nthe end\n`,
  id: "one"
}

const send = (url: string, change: Partial<Mail> = {}) =>
  Effect.flatMap(Mailer, (mailer) => mailer.send({ ...mail, ...change })).pipe(
    Effect.provide(Mailer.layer({ from, server: Either.getOrThrow(SmtpServer.fromUrl(Redacted.make(url))) }))
  )

const failure = (sent: Effect.Effect<void, MailRefused | MailServerAway>) =>
  Effect.map(Effect.flip(sent), ({ _tag, message }) => ({ _tag, message }))

const withLogin: Parameters<typeof MailServer.make>[0] = {
  authMethods: ["PLAIN", "LOGIN"],
  onAuth: ({ password, username }, _, callback) =>
    password === "s3cret" ? callback(null, { user: username ?? "" }) : callback(new Error("Wrong"))
}

describe("Mailer", () => {
  it.scopedLive("sends plain text as it is, to whom it is for", () =>
    Effect.gen(function*() {
      const server = yield* MailServer.make()
      yield* send(`smtp://127.0.0.1:${server.port}`)
      const received = yield* soon(Queue.take(server.mails))
      assert.deepInclude(received, { from, to: ["ops@acme.example"], isEncrypted: false, user: null })
      assert.strictEqual(received.text.replaceAll("\r\n", "\n").trimEnd(), mail.text.trimEnd())
      const { headers } = received
      assert.strictEqual(headers["from"], "Deeper Hub Webhooks <hooks@example.com>")
      assert.strictEqual(headers["to"], "ops@acme.example")
      assert.strictEqual(headers["message-id"], "<one@example.com>")
      assert.strictEqual(headers["auto-submitted"], "auto-generated")
      assert.match(headers["content-type"] ?? "", /^text\/plain; charset=utf-8/)
      assert.include(headers["subject"], "=?UTF-8?Q?Webhook_P=C3=A3o_was_switched_off?=")
    }))

  it.scopedLive("a subject stays one line, whatever is in it", () =>
    Effect.gen(function*() {
      const server = yield* MailServer.make()
      yield* send(`smtp://127.0.0.1:${server.port}`, { subject: "a\r\nBcc: x@example.com" })
      const { headers, to } = yield* soon(Queue.take(server.mails))
      assert.notProperty(headers, "bcc")
      assert.deepStrictEqual(to, ["ops@acme.example"])
    }))

  it.scopedLive("on this machine encrypts where it is offered, whoever signed the certificate", () =>
    Effect.gen(function*() {
      const certificate = yield* Certificates.selfSigned({ names: ["mail.test"] })
      const server = yield* MailServer.make({ ...certificate, authOptional: true })
      yield* send(`smtp://127.0.0.1:${server.port}`)
      assert.isTrue((yield* soon(Queue.take(server.mails))).isEncrypted)
      const tls = yield* MailServer.make({ ...certificate, secure: true, authOptional: true })
      yield* send(`smtps://127.0.0.1:${tls.port}`)
      assert.isTrue((yield* soon(Queue.take(tls.mails))).isEncrypted)
    }))

  it.scopedLive("elsewhere sends nothing in the clear, and nothing to a server that nobody vouches for", () =>
    Effect.gen(function*() {
      // By a name that is this machine's too, but does not say so.
      const elsewhere = (port: number, search = "") => `smtp://u:s3cret@127.0.0.1:${port}${search}`
      const asElsewhere = (url: string) => {
        const server = Either.getOrThrow(SmtpServer.fromUrl(Redacted.make(url)))
        const isOptional = url.endsWith("?starttls=optional")
        return Effect.flatMap(Mailer, (mailer) => mailer.send(mail)).pipe(Effect.provide(Mailer.layer({
          from,
          server: { ...server, isLoopback: false, encryption: isOptional ? "optional" : "starttls" }
        })))
      }
      const plain = yield* MailServer.make({ ...withLogin, disabledCommands: ["STARTTLS"], allowInsecureAuth: true })
      const refused = yield* failure(asElsewhere(elsewhere(plain.port)))
      assert.strictEqual(refused._tag, "MailServerAway")
      yield* asElsewhere(elsewhere(plain.port, "?starttls=optional"))
      assert.deepInclude(yield* soon(Queue.take(plain.mails)), { isEncrypted: false, user: "u" })

      const certificate = yield* Certificates.selfSigned({ names: ["127.0.0.1"] })
      const untrusted = yield* MailServer.make({ ...withLogin, ...certificate })
      assert.strictEqual((yield* failure(asElsewhere(elsewhere(untrusted.port))))._tag, "MailServerAway")
      assert.strictEqual(yield* Queue.size(plain.mails), 0)
      assert.strictEqual(yield* Queue.size(untrusted.mails), 0)
    }))

  it.scopedLive("logs in; with the wrong password nothing is sent, and nothing told of it", () =>
    Effect.gen(function*() {
      const certificate = yield* Certificates.selfSigned({ names: ["mail.test"] })
      const server = yield* MailServer.make({ ...withLogin, ...certificate })
      yield* send(`smtp://ops%40example.com:s3cret@127.0.0.1:${server.port}`)
      assert.deepInclude(yield* soon(Queue.take(server.mails)), { user: "ops@example.com", isEncrypted: true })
      const wrong = yield* failure(send(`smtp://ops:n0t-this@127.0.0.1:${server.port}`))
      assert.strictEqual(wrong._tag, "MailServerAway")
      assert.notInclude(wrong.message, "n0t-this")
      const nobody = yield* failure(send(`smtp://127.0.0.1:${server.port}`))
      assert.isNotEmpty(nobody.message)
      assert.strictEqual(yield* Queue.size(server.mails), 0)
    }))

  it.scopedLive("tells a mail that is refused from a server that is away", () =>
    Effect.gen(function*() {
      const picky = yield* MailServer.make({
        disabledCommands: ["STARTTLS", "AUTH"],
        onRcptTo: ({ address }, _, callback) =>
          address === mail.to
            ? callback(Object.assign(new Error("No such mailbox"), { responseCode: 550 }))
            : callback()
      })
      const url = `smtp://127.0.0.1:${picky.port}`
      const refused = yield* failure(send(url))
      assert.strictEqual(refused._tag, "MailRefused")
      assert.include(refused.message, "No such mailbox")
      yield* send(url, { to: EmailAddress.make("other@acme.example") })
      const full = yield* MailServer.make({
        disabledCommands: ["STARTTLS", "AUTH"],
        onConnect: (_, callback) => callback(Object.assign(new Error("Later"), { responseCode: 421 }))
      })
      assert.strictEqual((yield* failure(send(`smtp://127.0.0.1:${full.port}`)))._tag, "MailServerAway")
      assert.strictEqual((yield* failure(send("smtp://127.0.0.1:1")))._tag, "MailServerAway")
    }))
})
