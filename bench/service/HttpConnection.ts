/** A connection that publishes, one request at a time, as cheaply as it can be: publishers are on other machines. */
import * as net from "node:net"
import { Messages } from "../Messages.ts"

const isAccepted = /^HTTP\/1\.1 202 /

interface Waiting {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class HttpConnection {
  readonly #socket: net.Socket
  readonly #responses = new Messages()
  readonly #fixed: string
  #waiting: Waiting | null = null
  #failed: Error | null = null

  constructor(base: string, key: string) {
    const { host, hostname, port } = new URL(base)
    this.#fixed = ` HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\nauthorization: Bearer ${key}\r\n` +
      "content-type: application/json\r\ncontent-length: "
    this.#socket = net.connect({ host: hostname, port: Number(port), noDelay: true })
      .on("data", (chunk: Buffer) => this.#hear(chunk))
      .on("error", (error) => this.#fail(error))
      .on("close", () => this.#fail(new Error(`${base} closed a connection`)))
  }

  /** Until it is answered with 202. */
  post(path: string, body: unknown): Promise<void> {
    const json = JSON.stringify(body)
    if (this.#failed !== null) return Promise.reject(this.#failed)
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#socket.write(`POST ${path}${this.#fixed}${Buffer.byteLength(json)}\r\n\r\n${json}`)
    })
  }

  end(): void {
    this.#waiting = null
    this.#socket.destroy()
  }

  #hear(chunk: Buffer): void {
    try {
      for (const { body, head } of this.#responses.take(chunk)) {
        if (!isAccepted.test(head)) return this.#fail(new Error(`it was answered ${head}\n\n${body.toString()}`))
        const waiting = this.#waiting
        this.#waiting = null
        waiting?.resolve()
      }
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #fail(error: Error): void {
    this.#failed ??= error
    this.#waiting?.reject(error)
    this.#waiting = null
  }
}
