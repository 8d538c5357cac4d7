import { assert, describe, it, vi } from "@effect/vitest"
import { Deferred, Effect, Either, Layer } from "effect"
import { AddressPolicy, make as makePolicy } from "../../src/transport/AddressPolicy.ts"
import { parseRange } from "../../src/transport/AddressRange.ts"
import { WebhookClient, type WebhookClientOptions } from "../../src/transport/WebhookClient.ts"
import * as DnsServer from "../support/DnsServer.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Transport from "../support/Transport.ts"

/** A client of these exceptions alone. */
const clientOf = (allowed: ReadonlyArray<string>, options: Partial<WebhookClientOptions> = {}) =>
  WebhookClient.layer({ userAgent: "test", ...options }).pipe(
    Layer.provide(Layer.succeed(
      AddressPolicy,
      makePolicy({ disallowed: [], allowed: allowed.map((range) => Either.getOrThrow(parseRange(range))) })
    ))
  )

describe("ways around the address policy", () => {
  for (const scheme of ["http", "https"]) {
    it.scoped(`B18 a peer that is not the address that was dialled gets not one byte over ${scheme}`, () =>
      Effect.gen(function*() {
        const heard: Array<string> = []
        const closed = yield* Deferred.make<void>()
        const port = yield* ScriptedReceiver.raw((socket) =>
          socket.setEncoding("latin1").on("data", (text: string) => heard.push(text)).on(
            "close",
            () => Deferred.unsafeDone(closed, Effect.void)
          )
        )
        // The system connects to loopback what dials the unspecified address.
        const failed = yield* Transport.failure(`${scheme}://0.0.0.0:${port}/`, Transport.patient)
        assert.strictEqual(failed.class, "blocked_address")
        yield* Deferred.await(closed)
        assert.deepStrictEqual(heard, [])
      }).pipe(Effect.provide(clientOf(["0.0.0.0/32"]))))
  }

  it.scoped("B18 a kept connection serves no other name, though both lead to one address", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make()
      const dns = yield* DnsServer.make({
        "open.test": { A: ["127.0.0.1"] },
        "turned.test": { A: ["10.0.0.1"] }
      })
      yield* Effect.gen(function*() {
        yield* Transport.post(`http://open.test:${receiver.port}/`, Transport.patient)
        for (const name of ["turned.test", "TURNED.test", "turned.test.", "open.test.turned.test"]) {
          const failed = yield* Transport.failure(`http://${name}:${receiver.port}/`, Transport.patient)
          assert.include(["blocked_address", "dns_not_found"], failed.class, name)
        }
        // The same name, spelled otherwise, has its own look at the DNS where it is not the same text.
        yield* Transport.post(`http://OPEN.test:${receiver.port}/`, Transport.patient)
        assert.strictEqual(yield* receiver.connections, 1)
        yield* Transport.post(`http://open.test.:${receiver.port}/`, Transport.patient)
        assert.strictEqual(yield* receiver.connections, 2)
      }).pipe(Effect.provide(clientOf(["127.0.0.1/32"], { nameservers: [dns.nameserver] })))
    }))

  it.scoped("a kept connection serves no other policy", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make()
      const failed = yield* Transport.post(receiver.url(), Transport.patient).pipe(
        Effect.zipRight(Effect.provide(Transport.failure(receiver.url(), Transport.patient), clientOf([]))),
        Effect.provide(clientOf(["127.0.0.1/32"]))
      )
      assert.deepInclude(failed, { _tag: "PermanentFailure", class: "blocked_address" })
      assert.strictEqual(yield* receiver.connections, 1)
    }))

  it.scoped("no proxy of the environment is used", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make()
      const proxy = yield* ScriptedReceiver.make()
      const names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].flatMap((name) => [name, name.toLowerCase()])
      yield* Effect.acquireRelease(
        Effect.sync(() => names.forEach((name) => vi.stubEnv(name, proxy.url().href))),
        () => Effect.sync(() => vi.unstubAllEnvs())
      )
      yield* Effect.provide(Transport.post(receiver.url(), Transport.patient), clientOf(["127.0.0.1/32"]))
      assert.strictEqual(yield* receiver.connections, 1)
      assert.strictEqual(yield* proxy.connections, 0)
    }))

  it.effect("B16 an IPv6 address with a zone, or in brackets, is what it says", () =>
    Effect.gen(function*() {
      for (const host of ["[fe80::1]", "[::]", "[::127.0.0.1]", "[0:0:0:0:0:ffff:127.0.0.2]", "[64:ff9b::7f00:1]"]) {
        const failed = yield* Transport.failure(`http://${host}:8080/`, Transport.patient)
        assert.deepInclude(failed, { _tag: "PermanentFailure", class: "blocked_address" }, host)
      }
      for (const zoned of ["[fe80::1%25lo]", "[::1%lo]"]) assert.isFalse(URL.canParse(`http://${zoned}/`))
    }).pipe(Effect.provide(clientOf(["127.0.0.1/32"]))))

  it.scoped("B16 localhost with a dot, or below it, is asked of the DNS like any name, and stays forbidden", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make()
      const inside = { A: ["127.0.0.1"], AAAA: ["::1"] }
      const dns = yield* DnsServer.make({ localhost: inside, "a.localhost": inside })
      for (const name of ["localhost", "localhost.", "a.localhost", "LOCALHOST"]) {
        const failed = yield* Transport.failure(`http://${name}:${receiver.port}/`, Transport.patient).pipe(
          Effect.provide(clientOf([], { nameservers: [dns.nameserver] }))
        )
        assert.include(["blocked_address", "dns_not_found"], failed.class, name)
      }
      assert.strictEqual(yield* receiver.connections, 0)
    }))
})
