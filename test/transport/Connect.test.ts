import { assert, describe, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Exit, Fiber, Queue, Scope } from "effect"
import { ofError } from "../../src/transport/Classification.ts"
import { SocketFailure } from "../../src/transport/Connector.ts"
import * as BlackHole from "../support/BlackHole.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Transport from "../support/Transport.ts"

describe("WebhookClient: the connection", () => {
  it.scoped("C22 nothing listens", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const receiver = yield* Scope.extend(ScriptedReceiver.make(), scope)
      yield* Scope.close(scope, Exit.void)
      const failed = yield* Transport.failure(receiver.url(), Transport.patient)
      assert.deepInclude(failed, { _tag: "RetryableFailure", class: "connect_refused" })
      assert.isNull(failed.exchange.peerAddress)
    }).pipe(Effect.provide(Transport.client())))

  it.scoped("C23 a SYN that nobody answers is a connect timeout at the connect budget", () =>
    Effect.gen(function*() {
      const port = yield* BlackHole.make()
      const failed = yield* Transport.failure(`http://127.0.0.1:${port}/`, Transport.patient)
      assert.strictEqual(failed.class, "connect_timeout")
      assert.isBelow(failed.exchange.durationMs, 1_300)
    }).pipe(Effect.provide(Transport.client({ connectTimeoutMs: 300 }))))

  it.scoped("C23 an attempt's time below the connect budget ends the dial too", () =>
    Effect.gen(function*() {
      const port = yield* BlackHole.make()
      const failed = yield* Transport.failure(`http://127.0.0.1:${port}/`, { timeoutMs: 200 })
      assert.strictEqual(failed.class, "connect_timeout")
    }).pipe(Effect.provide(Transport.client())))

  it.scoped("C24 a reset or an end at accept is a connect reset", () =>
    Effect.gen(function*() {
      const resets = yield* ScriptedReceiver.raw((socket) => socket.resetAndDestroy())
      assert.strictEqual((yield* Transport.failure(`http://127.0.0.1:${resets}/`)).class, "connect_reset")
      const ends = yield* ScriptedReceiver.raw((socket) => socket.end())
      assert.strictEqual((yield* Transport.failure(`http://127.0.0.1:${ends}/`)).class, "connect_reset")
    }).pipe(Effect.provide(Transport.client())))

  it.scoped("C25 a kept connection that dies under the POST is a connection reset, and is not sent again", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make([{ status: 200 }, "reset", { status: 200 }])
      yield* Transport.post(receiver.url(), Transport.patient)
      assert.strictEqual((yield* Transport.failure(receiver.url(), Transport.patient)).class, "conn_reset")
      assert.lengthOf(receiver.received, 2)
      yield* Transport.post(receiver.url(), Transport.patient)
      assert.strictEqual(yield* receiver.connections, 2)
    }).pipe(Effect.provide(Transport.client())))

  it.scoped("C25 a kept connection that died while idle is not used", () =>
    Effect.gen(function*() {
      const closed = yield* Queue.unbounded<void>()
      const receiver = yield* ScriptedReceiver.make((_, socket) => {
        socket.once("close", () => Queue.unsafeOffer(closed, undefined))
        return { raw: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", after: "end" }
      })
      for (let i = 0; i < 5; i++) {
        yield* Transport.post(receiver.url(), Transport.patient)
        yield* Queue.take(closed)
      }
      assert.lengthOf(receiver.received, 5)
    }).pipe(Effect.provide(Transport.client())))

  it.scoped("C25 a connection that breaks within the answer is a connection reset", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make({ raw: "HTTP/1.1 200 OK\r\nX-A", after: "end" })
      assert.strictEqual((yield* Transport.failure(receiver.url())).class, "conn_reset")
    }).pipe(Effect.provide(Transport.client())))

  it.scoped("C26 a peer that is gone without a word ends the attempt at its deadline", () =>
    Effect.gen(function*() {
      const port = yield* ScriptedReceiver.raw((socket) => socket.pause())
      assert.strictEqual((yield* Transport.failure(`http://127.0.0.1:${port}/`)).class, "response_timeout")
    }).pipe(Effect.provide(Transport.client())))

  it("C27 want of a socket of our own is not the receiver's doing", () => {
    for (const reason of ["EMFILE", "ENFILE", "ENOBUFS", "EADDRNOTAVAIL", "EADDRINUSE"]) {
      const failure = new SocketFailure({ phase: "connect", reason })
      const { class: name } = ofError(failure, { secure: false, reused: false, responding: false })
      assert.strictEqual(name, "local_resource")
    }
  })

  it.scoped("no more connections to an origin than allowed: the rest wait, and in vain are uncharged", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make("hang")
      const first = yield* Effect.fork(Transport.failure(receiver.url(), { timeoutMs: 3_000 }))
      yield* Queue.take(receiver.requests)
      assert.strictEqual((yield* Transport.failure(receiver.url())).class, "local_resource")
      const waiting = yield* Effect.fork(Transport.post(receiver.url(), Transport.patient))
      yield* receiver.answer({ status: 200 })
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      assert.strictEqual((yield* Fiber.join(waiting)).status, 200)
      assert.strictEqual(yield* receiver.connections, 2)
    }).pipe(Effect.provide(Transport.client({ connectionsPerOrigin: 1 }))))

  it.scoped("interruption closes the socket of a request that is under way", () =>
    Effect.gen(function*() {
      const closed = yield* Deferred.make<void>()
      const receiver = yield* ScriptedReceiver.make((_, socket) => {
        socket.once("close", () => Deferred.unsafeDone(closed, Exit.void))
      })
      const fiber = yield* Effect.fork(Transport.post(receiver.url(), { timeoutMs: 60_000 }))
      yield* Queue.take(receiver.requests)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(closed)
    }).pipe(Effect.provide(Transport.client())))

  it.scoped("interruption ends a dial that is under way", () =>
    Effect.gen(function*() {
      const port = yield* BlackHole.make()
      const fiber = yield* Effect.fork(Transport.post(`http://127.0.0.1:${port}/`, { timeoutMs: 60_000 }))
      yield* Effect.yieldNow()
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
    }).pipe(Effect.provide(Transport.client({ connectTimeoutMs: 60_000 }))))

  it.scoped("B21 the layer's release closes every connection", () =>
    Effect.gen(function*() {
      const closed = yield* Queue.unbounded<void>()
      const receiver = yield* ScriptedReceiver.make((_, socket) => {
        socket.once("close", () => Queue.unsafeOffer(closed, undefined))
        return { status: 200 }
      })
      yield* Effect.all([
        Transport.post(receiver.url(), Transport.patient),
        Transport.post(receiver.url(), Transport.patient)
      ], { concurrency: 2 }).pipe(Effect.provide(Transport.client()))
      assert.lengthOf(Chunk.toReadonlyArray(yield* Queue.takeN(closed, yield* receiver.connections)), 2)
    }))
})
