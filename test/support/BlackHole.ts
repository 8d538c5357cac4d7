/**
 * A port of this machine that drops every SYN: a worker listens there with the shortest backlog and then sleeps without
 * accepting, and the backlog is filled.
 */
import { Effect, type Scope } from "effect"
import * as net from "node:net"
import { Worker } from "node:worker_threads"

const listenAndSleep = `
const { parentPort, workerData } = require("node:worker_threads")
const server = require("node:net").createServer()
server.listen({ port: 0, host: workerData.host, backlog: 1 }, () => {
  parentPort.postMessage(server.address().port)
  Atomics.wait(new Int32Array(workerData.lock), 0, 0)
  process.exit(0)
})`

const backlogAndMore = 4

export const make = (host = "127.0.0.1"): Effect.Effect<number, never, Scope.Scope> =>
  Effect.gen(function*() {
    const lock = new SharedArrayBuffer(4)
    const worker = yield* Effect.acquireRelease(
      Effect.sync(() => new Worker(listenAndSleep, { eval: true, workerData: { host, lock } })),
      (sleeping) =>
        Effect.promise(() => {
          Atomics.store(new Int32Array(lock), 0, 1)
          Atomics.notify(new Int32Array(lock), 0)
          return sleeping.terminate()
        })
    )
    const port = yield* Effect.async<number>((resume) => {
      worker.once("message", (listening: number) => resume(Effect.succeed(listening)))
    })
    const sockets = Array.from({ length: backlogAndMore }, () => net.connect(port, host).on("error", () => {}))
    yield* Effect.addFinalizer(() => Effect.sync(() => sockets.forEach((socket) => socket.destroy())))
    yield* Effect.async<void>((resume) => {
      let connected = 0
      for (const socket of sockets) {
        socket.once("connect", () => {
          connected += 1
          if (connected === 2) resume(Effect.void)
        })
      }
    })
    return port
  })
