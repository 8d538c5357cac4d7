/** Bytes on a socket, for what no HTTP client would send; and all that comes back until the other end hangs up. */
import { Effect } from "effect"
import { connect } from "node:net"

export const exchange = (port: number, bytes: Uint8Array | string): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    const chunks: Array<Uint8Array> = []
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true })
    socket.on("data", (chunk: Uint8Array) => chunks.push(chunk))
    // A reset is an end too; what had come before it counts.
    socket.on("error", () => {})
    socket.on("end", () => socket.end())
    socket.on("close", () => resume(Effect.succeed(Buffer.concat(chunks).toString("utf8"))))
    socket.end(bytes)
    return Effect.sync(() => socket.destroy())
  })

export interface RawAnswer {
  readonly status: number
  readonly head: string
  readonly body: string
}

/** Of what came over one socket; answers of a pipeline one after the other, interim ones left out. */
export const answers = (received: string): ReadonlyArray<RawAnswer> =>
  received.split(/(?=HTTP\/1\.1 \d{3})/).filter((part) => part !== "").map((part) => {
    const [head = "", ...rest] = part.split("\r\n\r\n")
    return {
      status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]),
      head: head.toLowerCase(),
      body: rest.join("\r\n\r\n")
    }
  }).filter(({ status }) => !(status >= 100 && status < 200))
