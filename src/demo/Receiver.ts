/** An HTTP server on loopback as a customer of the CRM would run one, down to cutting the connection. */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import { Buffer } from "node:buffer"
import * as Http from "node:http"
import type { Mishap } from "./Mishaps.ts"

export interface Incoming {
  readonly path: string
  readonly headers: Http.IncomingHttpHeaders
  readonly body: Buffer
}

export type Answer = "accepted" | Mishap

export interface Receiver {
  readonly port: number
  readonly url: (path: string) => string
}

/** Answers as `receive` says, until the scope closes. */
export const make = (
  receive: (incoming: Incoming) => Effect.Effect<Answer>
): Effect.Effect<Receiver, never, Scope.Scope> =>
  Effect.gen(function*() {
    const run = yield* FiberSet.makeRuntime<never>()
    const server = Http.createServer((request, response) => {
      const chunks: Array<Uint8Array> = []
      request.on("data", (chunk: Uint8Array) => chunks.push(chunk))
      request.on("end", () => {
        const incoming = { path: request.url ?? "", headers: request.headers, body: Buffer.concat(chunks) }
        run(Effect.map(receive(incoming), (answer) => reply(answer, response)))
      })
    })
    const port = yield* listen(server)
    return { port, url: (path) => `http://127.0.0.1:${port}${path}` }
  })

const reply = (answer: Answer, response: Http.ServerResponse): void => {
  switch (answer) {
    case "accepted":
      response.writeHead(200, { "content-type": "application/json" }).end(`{"recebido": true}`)
      return
    case "busy":
      response.writeHead(503, { "content-type": "text/plain; charset=utf-8" }).end("Em manutenção, volte já")
      return
    case "reset":
      response.socket?.resetAndDestroy()
      return
    case "slow":
      // Left without an answer: the one who asked gives up first.
  }
}

const listen = (server: Http.Server): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.once("error", (error) => resume(Effect.die(error)))
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(address !== null && typeof address === "object" ? address.port : 0))
      })
    }),
    () =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
