/**
 * The receiver, in a process of its own and as cheap as it can be: it counts, and answers at once or after a while. Its other
 * port takes requests and never answers.
 */
// @effect-diagnostics globalTimers:off globalDate:off
import * as net from "node:net"
import { answering, argument } from "./Answering.ts"
import { Messages } from "./Messages.ts"
import { microseconds } from "./Monotonic.ts"

export interface Manners {
  readonly answersAfterMs: number
  /** Whether it looks into the bodies for the time of publishing, which costs it something. */
  readonly readsTimes: boolean
}

/** Since the last reset. */
export interface Seen {
  readonly requests: number
  readonly unsigned: number
  /** From publishing to the last byte of the request; of requests that say when they were published. */
  readonly latenciesUs: ReadonlyArray<number>
}

const { answersAfterMs, readsTimes } = argument() as Manners

let requests = 0
let unsigned = 0
let latencies: Array<number> = []
/** Somebody waits until this is so. */
let awaited: { readonly isSo: () => boolean; readonly reached: () => void } | null = null

const marker = "\"t\":"

/** From the microsecond that the event carries to this one. */
const noteLatency = (body: string): void => {
  const at = body.indexOf(marker)
  if (at >= 0) latencies.push(microseconds() - Number.parseInt(body.slice(at + marker.length), 10))
}

const signature = /\r\n(?:webhook-signature|x-signature):/i

/** As node:http answers. */
const answer = (date: Date) =>
  `HTTP/1.1 200 OK\r\ncontent-length: 0\r\nDate: ${date.toUTCString()}\r\n` +
  "Connection: keep-alive\r\nKeep-Alive: timeout=600\r\n\r\n"
let ok = answer(new Date())
setInterval(() => ok = answer(new Date()), 1_000)

const accept = (socket: net.Socket): void => void socket.write(ok, "latin1")

const server = net.createServer({ noDelay: true }, (socket) => {
  const incoming = new Messages()
  socket.on("data", (chunk: Buffer) => {
    for (const { body, head } of incoming.take(chunk)) {
      requests += 1
      if (!signature.test(head)) unsigned += 1
      if (readsTimes) noteLatency(body.toString("latin1"))
      if (awaited?.isSo() === true) awaited.reached()
      if (answersAfterMs === 0) accept(socket)
      else setTimeout(accept, answersAfterMs, socket)
    }
  })
  // A sender that gives up is none of our business.
  socket.on("error", () => {})
})

const blackHole = net.createServer((socket) => socket.resume().on("error", () => {}))

const seen = (): Seen => ({ requests, unsigned, latenciesUs: latencies })

const until = (isSo: () => boolean) =>
  new Promise<void>((resolve) => {
    const reached = () => {
      awaited = null
      resolve()
    }
    awaited = { isSo, reached }
    if (isSo()) reached()
  })

const answers = {
  /** Answers when so many have come since the last reset. */
  received: (count: number) => until(() => requests >= count),
  /** The same, of those that say when they were published. */
  timed: (count: number) => until(() => latencies.length >= count),
  seen: async () => seen(),
  reset: async () => {
    requests = 0
    unsigned = 0
    latencies = []
  }
}
export type ReceiverAnswers = typeof answers

const portOf = (listening: net.Server) =>
  new Promise<number>((resolve) => {
    listening.listen(0, "127.0.0.1", 4_096, () => {
      const address = listening.address()
      resolve(address !== null && typeof address === "object" ? address.port : 0)
    })
  })

process.on("SIGTERM", () => process.exit(0)).on("disconnect", () => process.exit(0))
answering({ port: await portOf(server), blackHolePort: await portOf(blackHole) }, answers)
