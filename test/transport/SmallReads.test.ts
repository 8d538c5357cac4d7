import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import { Socket } from "node:net"
import { smallReads } from "../../src/transport/SmallReads.ts"

/** A socket to which these bytes have come. */
const socketWith = (bytes: Buffer) => {
  const socket = smallReads(new Socket())
  socket.push(bytes)
  return socket
}

const readAll = (socket: Socket) => {
  const chunks: Array<Buffer> = []
  for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) chunks.push(chunk)
  return chunks
}

describe("SmallReads", () => {
  it.prop(
    "gives all that came, in order, a kilobyte at a time",
    [fc.uint8Array({ minLength: 1, maxLength: 5_000 })],
    ([all]) => {
      const bytes = Buffer.from(all)
      const chunks = readAll(socketWith(bytes))
      assert.deepStrictEqual(Buffer.concat(chunks), bytes)
      assert.isTrue(chunks.every(({ length }) => length <= 1_024))
    }
  )

  it.effect("E39 gives nothing more once the socket is given up", () =>
    Effect.sync(() => {
      const socket = socketWith(Buffer.alloc(5_000))
      assert.lengthOf(socket.read(), 1_024)
      socket.destroy()
      assert.isNull(socket.read())
    }))
})
