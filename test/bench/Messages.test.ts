import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { Messages } from "../../bench/Messages.ts"

const request = FastCheck.record({
  length: FastCheck.constantFrom("Content-Length: ", "content-length:", "CONTENT-LENGTH: "),
  name: FastCheck.stringMatching(/^[a-z-]{1,20}$/),
  body: FastCheck.oneof(
    FastCheck.string({ maxLength: 40 }),
    FastCheck.constantFrom("", "\r\n\r\n", "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\n", "x".repeat(3_000))
  )
})

interface Sent {
  readonly length: string
  readonly name: string
  readonly body: string
}

const written = ({ body, length, name }: Sent): Buffer =>
  Buffer.from(`POST /${name} HTTP/1.1\r\n${name}: 1\r\n${length}${Buffer.byteLength(body)}\r\nhost: x\r\n\r\n${body}`)

describe("Messages", () => {
  it.prop(
    "are those that were sent, wherever the stream is cut",
    [FastCheck.array(request, { maxLength: 6 }), FastCheck.infiniteStream(FastCheck.integer({ min: 1, max: 900 }))],
    ([sent, sizes]) => {
      const stream = Buffer.concat(sent.map(written))
      const incoming = new Messages()
      const read: Array<string> = []
      for (let at = 0; at < stream.length;) {
        const end = at + sizes.next().value
        for (const { body, head } of incoming.take(stream.subarray(at, end))) read.push(`${head}\r\n\r\n${body}`)
        at = end
      }
      assert.deepStrictEqual(read, sent.map((one) => written(one).toString()))
    }
  )

  it("of a form that is not known here are refused, not miscounted", () => {
    const chunked = Buffer.from("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    assert.throws(() => new Messages().take(chunked), /no Content-Length/)
  })
})
