/** Problems that are answered below the API, where there is no request to speak of yet, or no handler any more. */
import { type ServerResponse, STATUS_CODES } from "node:http"
import type { Socket } from "node:net"
import * as SecurityHeaders from "./SecurityHeaders.ts"

export interface BareProblem {
  readonly status: number
  readonly title: string
  readonly code: string
  readonly detail: string
  readonly retryAfterSeconds?: number
}

const encode = ({ code, detail, retryAfterSeconds, status, title }: BareProblem) => {
  const body = JSON.stringify({ type: "about:blank", title, status, code, detail })
  const headers: Readonly<Record<string, string>> = {
    ...SecurityHeaders.headers,
    connection: "close",
    "content-length": String(Buffer.byteLength(body)),
    "content-type": "application/problem+json",
    ...(retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) })
  }
  return { body, headers }
}

export const answer = (response: ServerResponse, problem: BareProblem): void => {
  const { body, headers } = encode(problem)
  response.writeHead(problem.status, headers).end(body)
}

/** Where not even a request could be made out. The connection ends with it. */
export const write = (socket: Socket, problem: BareProblem): void => {
  const { body, headers } = encode(problem)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n${lines.join("")}\r\n${body}`)
  socket.destroySoon()
}
