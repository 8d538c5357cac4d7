/** A real SMTP server in the test's own process. */
import { Effect, Queue } from "effect"
import type { AddressInfo } from "node:net"
import { SMTPServer, type SMTPServerOptions } from "smtp-server"

export interface ReceivedMail {
  readonly from: string
  readonly to: ReadonlyArray<string>
  readonly isEncrypted: boolean
  /** As whom the sender logged in; null where it did not. */
  readonly user: string | null
  readonly headers: Readonly<Record<string, string>>
  /** Decoded. */
  readonly text: string
}

export interface MailServer {
  readonly port: number
  readonly mails: Queue.Dequeue<ReceivedMail>
}

/** Without options: no login, no encryption. */
export const make = (options: SMTPServerOptions = { disabledCommands: ["STARTTLS", "AUTH"] }, port = 0) =>
  Effect.gen(function*() {
    const mails = yield* Queue.unbounded<ReceivedMail>()
    const server = yield* Effect.acquireRelease(
      Effect.async<SMTPServer>((resume) => {
        const made = new SMTPServer({
          closeTimeout: 100,
          ...options,
          onData: (stream, session, callback) => {
            const chunks = new Array<Buffer>()
            stream.on("data", (chunk: Buffer) => chunks.push(chunk))
            stream.on("end", () => {
              const { mailFrom, rcptTo } = session.envelope
              Queue.unsafeOffer(mails, {
                from: mailFrom === false ? "" : mailFrom.address,
                to: rcptTo.map(({ address }) => address),
                isEncrypted: session.secure,
                user: session.user ?? null,
                ...read(Buffer.concat(chunks).toString("latin1"))
              })
              callback()
            })
          }
        })
        // A client that goes away in the middle is no fault of the test's.
        made.on("error", () => {})
        made.listen(port, "127.0.0.1", () => resume(Effect.succeed(made)))
      }),
      (made) => Effect.async<void>((resume) => made.close(() => resume(Effect.void)))
    )
    const { port: bound } = server.server.address() as AddressInfo
    return { port: bound, mails } satisfies MailServer
  })

const read = (source: string): Pick<ReceivedMail, "headers" | "text"> => {
  const [head = "", ...rest] = source.split("\r\n\r\n")
  const lines = head.replace(/\r\n[ \t]+/g, " ").split("\r\n")
  const headers = Object.fromEntries(lines.map((line) => {
    const [name = "", ...value] = line.split(": ")
    return [name.toLowerCase(), value.join(": ")]
  }))
  return { headers, text: decode(rest.join("\r\n\r\n"), headers["content-transfer-encoding"] ?? "7bit") }
}

const decode = (body: string, encoding: string): string => {
  if (encoding === "base64") return Buffer.from(body, "base64").toString("utf8")
  if (encoding !== "quoted-printable") return body
  const bytes = body.replace(/=\r\n/g, "").replace(
    /=([0-9A-F]{2})/g,
    (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))
  )
  return Buffer.from(bytes, "latin1").toString("utf8")
}
