/** HTTP by hand: half a request, a slow one, one that is none. What is said and when is the test's affair. */
import { Effect, type Scope } from "effect"
import * as net from "node:net"

export interface RawAnswer {
  readonly status: number
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  readonly json: ReturnType<typeof JSON.parse>
}

export interface Connection {
  readonly socket: net.Socket
  readonly write: (bytes: string | Uint8Array) => Effect.Effect<void>
  /** The next answer, once all of it has come. Fails where the connection ends before. */
  readonly answer: Effect.Effect<RawAnswer>
  /** When the other side is done with the connection: its error, or null where it ended in order. */
  readonly ended: Effect.Effect<Error | null>
}

export const connect = (port: number): Effect.Effect<Connection, never, Scope.Scope> =>
  Effect.gen(function*() {
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })),
      (socket) => Effect.sync(() => socket.destroy())
    )
    let received = ""
    let over: Error | null | undefined
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1")
    })
    socket.once("end", () => {
      over ??= null
    })
    socket.once("error", (error) => {
      over ??= error
    })
    /** Looks after everything that happens on the socket, until there is something to see. */
    const once = <A>(look: () => A | undefined) =>
      Effect.async<A>((resume) => {
        const events = ["data", "end", "error", "close"]
        const tryIt = (): void => {
          const seen = look()
          if (seen === undefined) return
          for (const event of events) socket.off(event, tryIt)
          resume(Effect.succeed(seen))
        }
        for (const event of events) socket.on(event, tryIt)
        tryIt()
      })
    return {
      socket,
      write: (bytes) => Effect.sync(() => void socket.write(bytes)),
      ended: once(() => over),
      answer: Effect.flatMap(
        once(() => {
          const parsed = parse(received)
          if (parsed !== undefined) received = received.slice(parsed.length)
          return parsed?.answer ??
            (over === undefined ? undefined : new Error(`no answer, but ${received} and ${over}`))
        }),
        (seen) => seen instanceof Error ? Effect.die(seen) : Effect.succeed(seen)
      )
    }
  })

const parse = (received: string): { readonly answer: RawAnswer; readonly length: number } | undefined => {
  const headLength = received.indexOf("\r\n\r\n") + 4
  if (headLength < 4) return undefined
  const [statusLine = "", ...lines] = received.slice(0, headLength - 4).split("\r\n")
  const headers = Object.fromEntries(lines.map((line) => {
    const colon = line.indexOf(":")
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  }))
  const length = headLength + Number(headers["content-length"] ?? 0)
  if (received.length < length) return undefined
  const text = Buffer.from(received.slice(headLength, length), "latin1").toString()
  const isJson = /[/+]json$/.test(headers["content-type"] ?? "")
  return {
    answer: { status: Number(statusLine.split(" ")[1]), headers, text, json: isJson && JSON.parse(text) },
    length
  }
}

/** The head of a request, with its empty line. */
export const head = (line: string, token: string | null, headers: Readonly<Record<string, string>> = {}): string => {
  const all = { host: "127.0.0.1", ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...headers }
  return `${line} HTTP/1.1\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`
}
