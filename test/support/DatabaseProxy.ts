/** Stands between the service and Postgres, to be cut, silenced and mended by the test. */
import { Context, Effect, Layer } from "effect"
import * as net from "node:net"
import * as PgTest from "./PgTest.ts"

export class DatabaseProxy extends Context.Tag("deeper-hub-webhooks/test/support/DatabaseProxy")<DatabaseProxy, {
  readonly url: string
  /** Ends every connection and takes no new one. */
  readonly cut: Effect.Effect<void>
  /** Connections stay open, and nothing goes through them any more. */
  readonly silence: Effect.Effect<void>
  /** The next statement with this text reaches Postgres; its answer is lost, and the connection with it. */
  readonly loseAnswerTo: (text: string) => Effect.Effect<void>
  /** New connections work again; what was silenced ends. */
  readonly mend: Effect.Effect<void>
}>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.gen(function*() {
      const target = new URL(yield* PgTest.url)
      const links = new Set<Link>()
      let isCut = false
      let isSilent = false
      let lost: string | null = null
      const cut = () => {
        for (const link of links) link.end()
      }
      const server = net.createServer((client) => {
        if (isCut) return client.destroy()
        const link = new Link(client, net.connect(Number(target.port), target.hostname), {
          isSilent: () => isSilent,
          isLast: (bytes) => {
            if (lost === null || !bytes.includes(lost)) return false
            lost = null
            return true
          }
        })
        links.add(link)
        client.once("close", () => links.delete(link))
      })
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => {
          server.listen(0, "127.0.0.1", () => resume(Effect.void))
        }),
        () =>
          Effect.async<void>((resume) => {
            server.close(() => resume(Effect.void))
            cut()
          })
      )
      const { port } = server.address() as net.AddressInfo
      const url = new URL(target)
      url.hostname = "127.0.0.1"
      url.port = String(port)
      return {
        url: url.href,
        cut: Effect.sync(() => {
          isCut = true
          cut()
        }),
        silence: Effect.sync(() => {
          isSilent = true
        }),
        loseAnswerTo: (text) =>
          Effect.sync(() => {
            lost = text
          }),
        mend: Effect.sync(() => {
          if (isSilent) cut()
          isCut = false
          isSilent = false
        })
      }
    })
  )
}

interface Rules {
  readonly isSilent: () => boolean
  /** Whether these bytes are the last that the client will have an answer to. */
  readonly isLast: (bytes: Buffer) => boolean
}

class Link {
  private readonly sockets: ReadonlyArray<net.Socket>

  constructor(client: net.Socket, server: net.Socket, rules: Rules) {
    this.sockets = [client, server]
    let isEnding = false
    for (const socket of this.sockets) {
      socket.on("error", () => {})
      socket.on("close", () => this.end())
    }
    client.on("data", (bytes) => {
      if (rules.isSilent()) return
      isEnding ||= rules.isLast(bytes)
      server.write(bytes)
    })
    server.on("data", (bytes) => {
      if (rules.isSilent()) return
      if (isEnding) return this.end()
      client.write(bytes)
    })
  }

  end(): void {
    for (const socket of this.sockets) socket.destroy()
  }
}
