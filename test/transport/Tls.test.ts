import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { X509Certificate } from "node:crypto"
import type * as https from "node:https"
import * as Certificates from "../support/Certificates.ts"
import * as DnsServer from "../support/DnsServer.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Transport from "../support/Transport.ts"

const names = ["hooks.test", "127.0.0.1"]

/** An authority that the client trusts, and the client. */
const world = Effect.gen(function*() {
  const authority = yield* Certificates.authority
  const dns = yield* DnsServer.make({ "hooks.test": { A: ["127.0.0.1"] } })
  const client = Transport.client({ ca: [authority.cert], nameservers: [dns.nameserver] })
  return { authority, client }
})

const receiverWith = (tls: https.ServerOptions) => ScriptedReceiver.make({ status: 200 }, { tls })

const classOf = (port: number, client: ReturnType<typeof Transport.client>, request = Transport.patient) =>
  Transport.failure(`https://hooks.test:${port}/`, request).pipe(
    Effect.provide(client),
    Effect.map((failed) => failed.class)
  )

const sockets = () => process.getActiveResourcesInfo().filter((name) => name.startsWith("TLS")).length

describe("WebhookClient: TLS", () => {
  it.scoped("delivers over TLS, by name and by address, and keeps the connection", () =>
    Effect.gen(function*() {
      const { authority, client } = yield* world
      const receiver = yield* receiverWith(yield* Certificates.signedBy(authority, { names }))
      yield* Effect.gen(function*() {
        yield* Transport.post(`https://hooks.test:${receiver.port}/`, Transport.patient)
        yield* Transport.post(`https://hooks.test:${receiver.port}/`, Transport.patient)
        yield* Transport.post(`https://127.0.0.1:${receiver.port}/`, Transport.patient)
      }).pipe(Effect.provide(client))
      assert.strictEqual(yield* receiver.connections, 2)
    }))

  it.scoped("says when the certificate ends, also of a connection that is used again", () =>
    Effect.gen(function*() {
      const { authority, client } = yield* world
      const certificate = yield* Certificates.signedBy(authority, { names, days: [-1, 5] })
      const ends = Date.parse(new X509Certificate(certificate.cert).validTo)
      const receiver = yield* ScriptedReceiver.make([{ status: 200 }, { status: 500 }], { tls: certificate })
      const plain = yield* ScriptedReceiver.make()
      yield* Effect.gen(function*() {
        const url = `https://hooks.test:${receiver.port}/`
        assert.strictEqual((yield* Transport.post(url, Transport.patient)).certificateExpiresAt, ends)
        const { exchange } = yield* Transport.failure(url, Transport.patient)
        assert.deepInclude(exchange, { status: 500, certificateExpiresAt: ends })
        assert.isNull((yield* Transport.post(plain.url(), Transport.patient)).certificateExpiresAt)
      }).pipe(Effect.provide(client))
      assert.strictEqual(yield* receiver.connections, 1)
    }))

  for (const [days, name] of [[[-20, -10], "tls_expired"], [[10, 20], "tls_not_yet_valid"]] as const) {
    it.scoped(`D28 a certificate outside its time is ${name}`, () =>
      Effect.gen(function*() {
        const { authority, client } = yield* world
        const receiver = yield* receiverWith(yield* Certificates.signedBy(authority, { names, days }))
        assert.strictEqual(yield* classOf(receiver.port, client), name)
        assert.lengthOf(receiver.received, 0)
      }))
  }

  it.scoped("D29 a certificate that no trusted authority signed", () =>
    Effect.gen(function*() {
      const { client } = yield* world
      const own = yield* receiverWith(yield* Certificates.selfSigned({ names }))
      assert.strictEqual(yield* classOf(own.port, client), "tls_untrusted")
      const stranger = yield* Certificates.authority
      const other = yield* receiverWith(yield* Certificates.signedBy(stranger, { names }))
      assert.strictEqual(yield* classOf(other.port, client), "tls_untrusted")
    }))

  it.scoped("D30 a certificate for another name, or for none of an address", () =>
    Effect.gen(function*() {
      const { authority, client } = yield* world
      const receiver = yield* receiverWith(yield* Certificates.signedBy(authority, { names: ["other.test"] }))
      assert.strictEqual(yield* classOf(receiver.port, client), "tls_name")
      const byAddress = Transport.failure(`https://127.0.0.1:${receiver.port}/`, Transport.patient)
      assert.strictEqual((yield* Effect.provide(byAddress, client)).class, "tls_name")
      assert.lengthOf(receiver.received, 0)
    }))

  it.scoped("D31 TLS 1.1, plain HTTP and an alert are handshake failures", () =>
    Effect.gen(function*() {
      const { authority, client } = yield* world
      const certificate = yield* Certificates.signedBy(authority, { names })
      const old = yield* receiverWith({
        ...certificate,
        minVersion: "TLSv1.1",
        maxVersion: "TLSv1.1",
        ciphers: "DEFAULT@SECLEVEL=0"
      })
      assert.strictEqual(yield* classOf(old.port, client), "tls_handshake")
      const plain = yield* ScriptedReceiver.make()
      assert.strictEqual(yield* classOf(plain.port, client), "tls_handshake")
      const alert = yield* ScriptedReceiver.raw((socket) => socket.end(Uint8Array.from([0x15, 3, 3, 0, 2, 2, 40])))
      assert.strictEqual(yield* classOf(alert, client), "tls_handshake")
    }))

  it.scoped("D32 a handshake that stalls or drips is a connect timeout", () =>
    Effect.gen(function*() {
      const { client } = yield* world
      const stalls = yield* ScriptedReceiver.raw((socket) => socket.resume())
      assert.strictEqual(yield* classOf(stalls, client, { timeoutMs: 300 }), "connect_timeout")
      const drips = yield* ScriptedReceiver.raw((socket) => {
        socket.resume()
        ScriptedReceiver.drip(socket, Uint8Array.from([0x16, 3, 3, 0x3f, 0xff]), Uint8Array.from([2]))
      })
      assert.strictEqual(yield* classOf(drips, client, { timeoutMs: 300 }), "connect_timeout")
    }))

  it.scoped("D32 a reset within the handshake is a connect reset", () =>
    Effect.gen(function*() {
      const { client } = yield* world
      const resets = yield* ScriptedReceiver.raw((socket) => socket.once("data", () => socket.resetAndDestroy()))
      assert.strictEqual(yield* classOf(resets, client), "connect_reset")
    }))

  it.scoped("D33 a client certificate demanded", () =>
    Effect.gen(function*() {
      const { authority, client } = yield* world
      const certificate = yield* Certificates.signedBy(authority, { names })
      const demands = { ...certificate, requestCert: true, rejectUnauthorized: true }
      const new13 = yield* receiverWith({ ...demands, minVersion: "TLSv1.3" })
      assert.strictEqual(yield* classOf(new13.port, client), "tls_or_reset")
      const old12 = yield* receiverWith({ ...demands, maxVersion: "TLSv1.2" })
      assert.include(["tls_handshake", "tls_or_reset", "connect_reset"], yield* classOf(old12.port, client))
    }))

  it.scoped("D34 many bad certificates leave neither sockets nor memory behind", () =>
    Effect.gen(function*() {
      const { client } = yield* world
      const receiver = yield* receiverWith(yield* Certificates.selfSigned({ names }))
      const url = `https://hooks.test:${receiver.port}/`
      yield* Effect.gen(function*() {
        const batch = Effect.all(Array.from({ length: 50 }, () => Transport.failure(url, Transport.patient)), {
          concurrency: 10,
          discard: true
        })
        yield* batch
        const before = process.memoryUsage().rss
        for (let i = 0; i < 5; i++) yield* batch
        assert.isBelow(process.memoryUsage().rss - before, 64 * 1_024 * 1_024)
        yield* Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
        assert.isAtMost(sockets(), 10)
      }).pipe(Effect.provide(client))
    }), 30_000)
})
