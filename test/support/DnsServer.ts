/** A DNS server on loopback, over UDP and TCP, that answers what the test says and counts what it was asked. */
import * as dnsPacket from "dns-packet"
import { Effect, type Scope } from "effect"
import * as dgram from "node:dgram"
import * as net from "node:net"

interface Records {
  readonly A?: ReadonlyArray<string>
  readonly AAAA?: ReadonlyArray<string>
  /** Where the name leads; the addresses are then those of this name. */
  readonly CNAME?: string
}

export type DnsAnswer = Records | "nxdomain" | "servfail" | "hang"

export interface DnsServer {
  /** For `nameservers`. */
  readonly nameserver: string
  readonly asked: ReadonlyArray<string>
}

export interface DnsServerOptions {
  /** Without TCP, an answer too long for UDP is never had. */
  readonly tcp?: boolean
}

const udpBytesMax = 1_200

/** By name; a function is asked each time, with how often it was asked before for this type. */
export const make = (
  zone: Readonly<Record<string, DnsAnswer | ((before: number) => DnsAnswer)>>,
  { tcp = true }: DnsServerOptions = {}
): Effect.Effect<DnsServer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const asked: Array<string> = []
    const respond = (query: Buffer): Buffer | null => {
      const packet = dnsPacket.decode(query)
      const [question] = packet.questions ?? []
      if (question === undefined) return null
      const name = question.name.toLowerCase()
      const key = `${question.type} ${name}`
      const entry = zone[name] ?? "nxdomain"
      const answer = typeof entry === "function" ? entry(asked.filter((other) => other === key).length) : entry
      asked.push(key)
      return answer === "hang" ? null : encode(packet.id ?? 0, question, answer)
    }
    const port = yield* listen(respond, tcp)
    return { nameserver: `127.0.0.1:${port}`, asked }
  })

const encode = (id: number, question: dnsPacket.Question, answer: Exclude<DnsAnswer, "hang">): Buffer => {
  const base = { id, type: "response", questions: [question] } satisfies dnsPacket.Packet
  const flags = dnsPacket.RECURSION_DESIRED | dnsPacket.RECURSION_AVAILABLE
  if (answer === "nxdomain") return dnsPacket.encode({ ...base, flags: flags | 3 })
  if (answer === "servfail") return dnsPacket.encode({ ...base, flags: flags | 2 })
  const type = question.type === "AAAA" ? "AAAA" : "A"
  const alias: Array<dnsPacket.Answer> = answer.CNAME === undefined
    ? []
    : [{ name: question.name, type: "CNAME", ttl: 0, data: answer.CNAME }]
  const addresses = (answer[type] ?? []).map((data): dnsPacket.Answer => ({
    name: answer.CNAME ?? question.name,
    type,
    ttl: 0,
    data
  }))
  return dnsPacket.encode({ ...base, flags, answers: [...alias, ...addresses] })
}

/** On one port for both: somebody else may have the one for TCP that was free for UDP, so it tries a few. */
const listen = (respond: (query: Buffer) => Buffer | null, tcp: boolean) =>
  Effect.gen(function*() {
    const { port } = (yield* bindUdp(respond)).address()
    if (tcp) yield* listenTcp(port, respond)
    return port
  }).pipe(Effect.sandbox, Effect.retry({ times: 5 }), Effect.orDie)

const bindUdp = (respond: (query: Buffer) => Buffer | null) =>
  Effect.acquireRelease(
    Effect.async<dgram.Socket>((resume) => {
      const socket = dgram.createSocket("udp4")
      socket.on("message", (query, from) => {
        const response = respond(query)
        if (response === null) return
        socket.send(response.length > udpBytesMax ? truncated(response) : response, from.port, from.address)
      })
      socket.bind(0, "127.0.0.1", () => resume(Effect.succeed(socket)))
    }),
    (socket) => Effect.sync(() => socket.close())
  )

const truncated = (response: Buffer): Buffer => {
  const { answers: _, ...packet } = dnsPacket.decode(response)
  return dnsPacket.encode({ ...packet, flags: (packet.flags ?? 0) | dnsPacket.TRUNCATED_RESPONSE })
}

const listenTcp = (port: number, respond: (query: Buffer) => Buffer | null) =>
  Effect.acquireRelease(
    Effect.async<net.Server>((resume) => {
      const server = net.createServer((socket) => {
        let pending = Buffer.alloc(0)
        socket.on("error", () => {})
        socket.on("data", (chunk) => {
          pending = Buffer.concat([pending, chunk])
          while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
            const length = pending.readUInt16BE(0)
            const response = respond(pending.subarray(2, 2 + length))
            pending = pending.subarray(2 + length)
            if (response === null) continue
            const prefix = Buffer.alloc(2)
            prefix.writeUInt16BE(response.length)
            socket.write(Buffer.concat([prefix, response]))
          }
        })
      })
      server.once("error", (error) => resume(Effect.die(error)))
      server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )
