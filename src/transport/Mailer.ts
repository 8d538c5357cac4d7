/** Sends mail through an SMTP server: one connection a mail, since mails are few. */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { createTransport } from "nodemailer"
import type { EmailAddress } from "../domain/EmailAddress.ts"
import type { SmtpServer } from "./SmtpServer.ts"

export interface Mail {
  readonly to: EmailAddress
  readonly subject: string
  /** Plain text. */
  readonly text: string
  /** The same for the same mail: readers show a repetition once. */
  readonly id: string
}

/** The server answered, and does not take this mail: others it may. */
export class MailRefused extends Data.TaggedError("MailRefused")<{ readonly message: string }> {}

/** The server was not to be reached, did not know us, or did not answer in time. */
export class MailServerAway extends Data.TaggedError("MailServerAway")<{ readonly message: string }> {}

export interface MailerOptions {
  readonly server: SmtpServer
  readonly from: EmailAddress
}

export class Mailer extends Context.Tag("deeper-hub-webhooks/transport/Mailer")<Mailer, {
  readonly send: (mail: Mail) => Effect.Effect<void, MailRefused | MailServerAway>
}>() {
  static readonly layer = (options: MailerOptions) => Layer.sync(this, () => make(options))
}

/** From the connection to the server's word that it has the mail. */
const withinMs = 30_000
const stepMs = 10_000

const make = ({ from, server }: MailerOptions) => {
  const { encryption, host, isLoopback, login, port } = server
  const transport = createTransport({
    host,
    port,
    secure: encryption === "tls",
    requireTLS: encryption === "starttls",
    tls: { rejectUnauthorized: !isLoopback },
    ...(login === null ? {} : { auth: { user: login.user, pass: Redacted.value(login.password) } }),
    dnsTimeout: stepMs,
    connectionTimeout: stepMs,
    greetingTimeout: stepMs,
    socketTimeout: stepMs,
    disableFileAccess: true,
    disableUrlAccess: true
  })
  return Mailer.of({
    send: ({ id, subject, text, to }) =>
      Effect.tryPromise({
        try: () =>
          transport.sendMail({
            from: { name: "Deeper Hub Webhooks", address: from },
            to: { name: "", address: to },
            subject,
            text,
            messageId: `<${id}@${from.slice(from.indexOf("@") + 1)}>`,
            // Nobody's absence is to be told to us.
            headers: { "Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All" }
          }),
        catch: failureOf
      }).pipe(
        Effect.timeoutFail({
          duration: withinMs,
          onTimeout: () => new MailServerAway({ message: `the mail was not taken within ${withinMs / 1_000} s` })
        }),
        Effect.asVoid
      )
  })
}

/** 421: the server itself says that it is going away. */
const failureOf = (cause: unknown): MailRefused | MailServerAway => {
  const message = cause instanceof Error ? cause.message : String(cause)
  const { code, responseCode } = { code: null, responseCode: null, ...(cause instanceof Error ? cause : {}) }
  const isAboutTheMail = (code === "EENVELOPE" || code === "EMESSAGE") && responseCode !== 421
  return isAboutTheMail ? new MailRefused({ message }) : new MailServerAway({ message })
}
