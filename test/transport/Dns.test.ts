import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { addressesMax, Resolver } from "../../src/transport/Resolver.ts"
import { WebhookClient } from "../../src/transport/WebhookClient.ts"
import * as BlackHole from "../support/BlackHole.ts"
import * as DnsServer from "../support/DnsServer.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Transport from "../support/Transport.ts"

const clientOf = (dns: DnsServer.DnsServer, options = {}) =>
  Transport.client({ nameservers: [dns.nameserver], ...options })

const resolve = (dns: DnsServer.DnsServer, host: string, tryTimeoutMs = 100) =>
  Effect.flatMap(Resolver, (resolver) => resolver.resolve(host)).pipe(
    Effect.provide(Resolver.layer({ nameservers: [dns.nameserver], tryTimeoutMs }))
  )

/** On one port, 127.0.0.1 drops every SYN and 127.0.0.2 answers. Somebody else may have the port, so it tries a few. */
const deadAndAlive = Effect.gen(function*() {
  const port = yield* BlackHole.make()
  return { port, receiver: yield* ScriptedReceiver.make({}, { host: "127.0.0.2", port }) }
}).pipe(Effect.sandbox, Effect.retry({ times: 5 }), Effect.orDie)

const hook = (port: number, path = "/") => `http://hooks.test:${port}${path}`

describe("Resolver", () => {
  it.scoped("gives the addresses of both families, IPv4 first", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make({ "hooks.test": { A: ["1.1.1.1", "1.0.0.1"], AAAA: ["2606:4700::1111"] } })
      assert.sameMembers([...(yield* resolve(dns, "hooks.test"))], ["1.1.1.1", "1.0.0.1", "2606:4700::1111"])
    }))

  it.scoped("B14 NXDOMAIN and NODATA are not found", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make({ "empty.test": {} })
      assert.strictEqual((yield* Effect.flip(resolve(dns, "no.test"))).class, "dns_not_found")
      assert.strictEqual((yield* Effect.flip(resolve(dns, "empty.test"))).class, "dns_not_found")
    }))

  it.scoped("B15 SERVFAIL and silence are timeouts", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make({ "fails.test": "servfail", "hangs.test": "hang" })
      assert.strictEqual((yield* Effect.flip(resolve(dns, "fails.test"))).class, "dns_timeout")
      assert.strictEqual((yield* Effect.flip(resolve(dns, "hangs.test"))).class, "dns_timeout")
    }))

  it.scoped("B19 considers at most 16 of 500 addresses, which come over TCP", () =>
    Effect.gen(function*() {
      const many = Array.from({ length: 500 }, (_, i) => `1.1.${i >> 8}.${i & 255}`)
      const dns = yield* DnsServer.make({ "many.test": { A: many } })
      assert.lengthOf(yield* resolve(dns, "many.test"), addressesMax)
    }))

  it.scoped("B19 a truncated answer without TCP is a timeout", () =>
    Effect.gen(function*() {
      const many = Array.from({ length: 500 }, (_, i) => `1.1.${i >> 8}.${i & 255}`)
      const dns = yield* DnsServer.make({ "many.test": { A: many, AAAA: [] } }, { tcp: false })
      assert.strictEqual((yield* Effect.flip(resolve(dns, "many.test"))).class, "dns_timeout")
    }))
})

describe("WebhookClient: names and addresses", () => {
  it.scoped("B14 a name that does not exist", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make({})
      const failed = yield* Effect.provide(Transport.failure(hook(80), Transport.patient), clientOf(dns))
      assert.deepInclude(failed, { _tag: "RetryableFailure", class: "dns_not_found" })
      assert.isNull(failed.exchange.peerAddress)
    }))

  it.scoped("B15 sixteen names that hang do not delay a name that answers", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make()
      const hanging = Array.from({ length: 16 }, (_, i) => `hang${i}.test`)
      const dns = yield* DnsServer.make({
        "hooks.test": { A: ["127.0.0.1"] },
        ...Object.fromEntries(hanging.map((name) => [name, "hang" as const]))
      })
      const order: Array<string> = []
      yield* Effect.all([
        ...hanging.map((name) =>
          Transport.failure(`http://${name}:1/`).pipe(
            Effect.tap((failed) => Effect.sync(() => order.push(failed.class)))
          )
        ),
        Transport.post(hook(receiver.port), Transport.patient).pipe(
          Effect.tap(() => Effect.sync(() => order.push("sent")))
        )
      ], { concurrency: "unbounded" }).pipe(Effect.provide(clientOf(dns)))
      assert.deepStrictEqual(order, ["sent", ...hanging.map(() => "dns_timeout")])
    }))

  for (
    const [what, records] of [
      ["B16 only private addresses", { A: ["10.0.0.1", "192.168.1.1"] }],
      ["B17 a public and a private address", { A: ["127.0.0.1", "10.0.0.1"] }],
      ["B17 a public address and a unique local one", { A: ["127.0.0.1"], AAAA: ["fd00::1"] }],
      ["B19 an alias of an internal name", { CNAME: "db.internal", A: ["10.0.0.1"] }]
    ] as const
  ) {
    it.scoped(`${what}: blocked, retryable, and nothing dialled`, () =>
      Effect.gen(function*() {
        const receiver = yield* ScriptedReceiver.make()
        const dns = yield* DnsServer.make({ "hooks.test": records })
        const failed = yield* Effect.provide(Transport.failure(hook(receiver.port), Transport.patient), clientOf(dns))
        assert.deepInclude(failed, { _tag: "RetryableFailure", class: "blocked_address" })
        assert.notMatch(failed.message, /\d\.\d/)
        assert.strictEqual(yield* receiver.connections, 0)
      }))
  }

  it.scoped("B16 a forbidden address in the URL itself: blocked for good", () =>
    Effect.gen(function*() {
      for (const host of ["10.0.0.1", "[fd00::1]", "[::ffff:10.0.0.1]", "0x0a000001", "169.254.169.254"]) {
        const failed = yield* Transport.failure(`http://${host}/`, Transport.patient)
        assert.deepInclude(failed, { _tag: "PermanentFailure", class: "blocked_address" }, host)
      }
    }).pipe(Effect.provide(Transport.client())))

  it.scoped("B18 a name that turns to a private address is caught at its next connection", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make({ headers: { Connection: "close" } })
      const dns = yield* DnsServer.make({
        "hooks.test": (before) => ({ A: [before === 0 ? "127.0.0.1" : "10.0.0.1"] })
      })
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* Transport.post(hook(receiver.port), Transport.patient)).peerAddress, "127.0.0.1")
        assert.strictEqual((yield* Transport.failure(hook(receiver.port), Transport.patient)).class, "blocked_address")
      }).pipe(Effect.provide(clientOf(dns)))
      assert.lengthOf(receiver.received, 1)
    }))

  it.scoped("B18 a name is resolved once for a connection, and the answer is what is dialled", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make()
      const dns = yield* DnsServer.make({
        "hooks.test": (before) => ({ A: [before === 0 ? "127.0.0.1" : "10.0.0.1"] })
      })
      yield* Effect.gen(function*() {
        yield* Transport.post(hook(receiver.port), Transport.patient)
        yield* Transport.post(hook(receiver.port), Transport.patient)
      }).pipe(Effect.provide(clientOf(dns)))
      assert.strictEqual(yield* receiver.connections, 1)
      assert.lengthOf(dns.asked, 2)
      assert.strictEqual(receiver.received[0]?.headers["host"], `hooks.test:${receiver.port}`)
    }))

  it.scoped("B20 the first address refuses, the second answers", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make({}, { host: "::1" })
      const dns = yield* DnsServer.make({ "hooks.test": { A: ["127.0.0.1"], AAAA: ["::1"] } })
      const exchange = yield* Effect.provide(Transport.post(hook(receiver.port), Transport.patient), clientOf(dns))
      assert.strictEqual(exchange.peerAddress, "::1")
    }))

  it.scoped("B20 the first address drops every SYN, the second answers within the budget", () =>
    Effect.gen(function*() {
      const { port, receiver } = yield* deadAndAlive
      const dns = yield* DnsServer.make({ "hooks.test": { A: ["127.0.0.1", "127.0.0.2"] } })
      const exchange = yield* Effect.provide(
        Transport.post(hook(port), Transport.patient),
        clientOf(dns, { connectTimeoutMs: 600 })
      )
      assert.strictEqual(exchange.peerAddress, "127.0.0.2")
      assert.lengthOf(receiver.received, 1)
    }))

  it.scoped("B19 at most three addresses are dialled", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make({}, { host: "127.0.0.4" })
      const dns = yield* DnsServer.make({
        "third.test": { A: ["127.0.0.1", "127.0.0.2", "127.0.0.4"] },
        "fourth.test": { A: ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"] }
      })
      yield* Effect.gen(function*() {
        yield* Transport.post(`http://third.test:${receiver.port}/`, Transport.patient)
        const failed = yield* Transport.failure(`http://fourth.test:${receiver.port}/`, Transport.patient)
        assert.strictEqual(failed.class, "connect_refused")
      }).pipe(Effect.provide(clientOf(dns)))
      assert.strictEqual(yield* receiver.connections, 1)
    }))

  it.scoped("localhost is dialled without the DNS, at the addresses that an exception opens", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make()
      const dns = yield* DnsServer.make({ localhost: { A: ["10.0.0.1"] } })
      const open = WebhookClient.layer({ userAgent: "test", nameservers: [dns.nameserver] }).pipe(
        Layer.provide(ScriptedReceiver.allowLoopback(receiver.port))
      )
      yield* Effect.gen(function*() {
        yield* Transport.post(`http://localhost:${receiver.port}/`, Transport.patient)
        const other = yield* Transport.failure(`http://localhost:${receiver.port + 1}/`, Transport.patient)
        assert.strictEqual(other.class, "blocked_address")
      }).pipe(Effect.provide(open))
      assert.lengthOf(dns.asked, 0)
    }))
})
