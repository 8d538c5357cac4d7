/**
 * The receiver of the durability drills, in a process of its own so that it outlives whatever is killed. It verifies
 * every request, keeps the book of what came, and answers questions about it.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto"
import * as http from "node:http"
import { performance } from "node:perf_hooks"
import { answering } from "../support/Child.ts"
import type { Book, Counts, Manners } from "./Reception.ts"

// An argument of ours, and so of our own making.
const manners: Manners = JSON.parse(process.argv[2] ?? "{}")

interface Page {
  requests: number
  /** Epoch milliseconds of this machine's clock. */
  readonly arrivals: Array<number>
}

const pages = new Map<string, Page>()
const invalid: Array<string> = []
const inflight = new Map<string, number>()
/** By the node that sent them: the answers that are kept back. */
const held = new Map<string, Array<{ readonly id: string; readonly answer: () => void }>>()
let requests = 0
let skewSeconds = 0

const now = (): number => performance.timeOrigin + performance.now()

const isEqual = (given: string, expected: string): boolean =>
  given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected))

/** Both schemes, computed from their descriptions and not by the service's code. */
const isSigned = (headers: http.IncomingHttpHeaders, body: Buffer): boolean => {
  const text = (name: string) => String(headers[name] ?? "")
  const plain = createHmac("sha256", manners.secret).update(body).digest("hex")
  const standard = createHmac("sha256", manners.secret)
    .update(`${text("webhook-id")}.${text("webhook-timestamp")}.`).update(body).digest("base64")
  return isEqual(text("x-signature"), plain) && isEqual(text("webhook-signature"), `v1,${standard}`)
}

/** The same for every attempt of a delivery: a number from 0 to 1 that its id decides. */
const drawn = (id: string): number => createHash("sha256").update(id).digest().readUInt32BE() / 2 ** 32

const delayOf = (id: string): number => {
  const { slowMs, slowShare } = manners
  const share = drawn(id) / slowShare
  return share < 1 ? slowMs[0] + share * (slowMs[1] - slowMs[0]) : 0
}

let distinct = 0

const record = (id: string): Page => {
  const page = pages.get(id) ?? { requests: 0, arrivals: [] }
  pages.set(id, page)
  requests += 1
  page.requests += 1
  page.arrivals.push(now())
  return page
}

const receive = (headers: http.IncomingHttpHeaders, body: Buffer, response: http.ServerResponse): void => {
  const id = String(headers["webhook-id"] ?? "")
  const node = String(headers["user-agent"] ?? "")
  if (!isSigned(headers, body)) invalid.push(id)
  skewSeconds = Math.max(skewSeconds, Math.abs(Number(headers["webhook-timestamp"]) - now() / 1_000))
  const page = record(id)
  if (page.requests === 1) distinct += 1
  const isRefused = manners.refuseEvery > 0 && page.requests === 1 && distinct % manners.refuseEvery === 0

  inflight.set(node, (inflight.get(node) ?? 0) + 1)
  response.once("close", () => inflight.set(node, (inflight.get(node) ?? 1) - 1))
  const answer = () => response.writeHead(isRefused ? 503 : 200).end()
  const keptBack = held.get(node)
  const delayMs = delayOf(id)
  if (keptBack !== undefined) return void keptBack.push({ id, answer })
  if (delayMs === 0) return void answer()
  // @effect-diagnostics-next-line globalTimers:off
  setTimeout(answer, delayMs)
}

const server = http.createServer((request, response) => {
  const chunks: Array<Uint8Array> = []
  request.on("data", (chunk: Uint8Array) => chunks.push(chunk))
  request.on("end", () => receive(request.headers, Buffer.concat(chunks), response))
  request.on("error", () => {})
})
// An idle connection that ends under a request is a case of its own, and not one of these drills.
server.keepAliveTimeout = 600_000

const counts = (): Counts => ({
  requests,
  deliveries: pages.size,
  inflight: Object.fromEntries(inflight),
  held: Object.fromEntries([...held].map(([node, answers]) => [node, answers.length]))
})

const book = (): Book => ({
  invalid,
  skewSeconds: Math.round(skewSeconds),
  deliveries: Array.from(pages, ([id, { arrivals }]) => ({ id, arrivals }))
})

const release = (node: string): ReadonlyArray<string> => {
  const answers = held.get(node) ?? []
  held.delete(node)
  for (const { answer } of answers) answer()
  return answers.map(({ id }) => id)
}

answering((question) => {
  const [verb, node = ""] = question.split(" ")
  if (verb === "hold") held.set(node, [])
  if (verb === "release") return Promise.resolve(release(node))
  return Promise.resolve(verb === "book" ? book() : counts())
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  process.stdout.write(`READY ${address !== null && typeof address === "object" ? address.port : 0}\n`)
})
