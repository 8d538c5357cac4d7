import { assert, layer } from "@effect/vitest"
import { Effect, Queue } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api } from "../support/ApiTest.ts"

/** Publishes the text as it is; answers what receiver and readers get for it. */
const send = (payload: string) =>
  Effect.gen(function*() {
    const { attempted, newTenant } = yield* ApiTest
    const { client } = yield* newTenant
    const receiver = yield* Rows.receiver()
    yield* Rows.register(client, { url: receiver.url() })
    const { json } = expectStatus(
      yield* client.post("/api/events", `{"event_type": "a.b", "payload": ${payload}}`),
      202
    )
    const [{ id }] = json.deliveries
    yield* attempted(id)
    return {
      sent: (yield* Queue.take(receiver.requests)).text,
      delivery: (yield* client.get(`/api/deliveries/${id}`)).text,
      event: (yield* client.get(`/api/events/${json.event_id}`)).text
    }
  })

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Payloads", (it) => {
  it.scoped("L84 a payload reaches its receiver and its readers with every character it had", () =>
    Effect.gen(function*() {
      const canonical =
        String.raw`{"": {"": []}, "__proto__": {"constructor": 1, "toString": null}, "a\u0000b": "\u0000", `
        + String
          .raw`"lone": "\ud800", "low": "\udfff x \ud800\ud800", "pair": "\ud83d\udca5", "text": "Neg\u00f3cio \"\\/\u007f"}`
      const { delivery, event, sent } = yield* send(canonical)
      assert.include(sent, `"data": ${canonical}, `)
      assert.include(delivery, `"payload": ${sent}`)
      assert.include(event, `"payload": ${canonical}`)
    }))

  it.scoped("L84 a lone surrogate or a character that came as bytes is the same as one that came escaped", () =>
    Effect.gen(function*() {
      const { event } = yield* send(`{"z": "é💥\u007f", "a": "\\uD83D\\uDCA5 \\uDFFF \\/"}`)
      assert.include(event, String.raw`"payload": {"a": "\ud83d\udca5 \udfff /", "z": "\u00e9\ud83d\udca5\u007f"}`)
    }))

  it.scoped("numbers keep the value they were written with", () =>
    Effect.gen(function*() {
      const written: Readonly<Record<string, string>> = {
        "1000.00": "1000.0",
        "9007199254740993": "9007199254740993",
        "-123456789012345678901234567890": "-123456789012345678901234567890",
        "1e21": "1e+21",
        "1E400": "",
        "0.1": "0.1",
        "-0.0": "-0.0",
        "-0": "0",
        "1e-7": "1e-07",
        "5e-324": "5e-324",
        "1.7976931348623157e308": "1.7976931348623157e+308"
      }
      const { a } = yield* ApiTest
      const numbers = Object.entries(written).filter(([, shown]) => shown !== "")
      const { delivery, event, sent } = yield* send(`{"n": [${numbers.map(([spelled]) => spelled).join()}]}`)
      const shown = `{"n": [${numbers.map(([, spelled]) => spelled).join(", ")}]}`
      assert.include(sent, `"data": ${shown}, `)
      assert.include(delivery, `"payload": ${sent}`)
      assert.include(event, `"payload": ${shown}`)
      const refused = yield* a.client.post("/api/events", `{"event_type": "a.b", "payload": {"n": 1E400}}`)
      expectProblem(refused, 400, "json_number_range")
    }))

  it.scoped("L84 depth and number of keys end at their bounds, and not before", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const nested = (depth: number) => `${"{\"a\": ".repeat(depth)}1${"}".repeat(depth)}`
      // The request around the payload is one level more.
      const { event } = yield* send(nested(99))
      assert.include(event, nested(99))
      const deeper = yield* a.client.post("/api/events", `{"event_type": "a.b", "payload": ${nested(100)}}`)
      expectProblem(deeper, 400, "json_depth")
      const keys = `{${Array.from({ length: 20_000 }, (_, i) => `"k${i + 10_000}": 1`).join(", ")}}`
      assert.include((yield* send(keys)).event, keys)
      const twice = `{"event_type": "a.b", "payload": {"x": {"__proto__": 1, "__proto__": 2}}}`
      expectProblem(yield* a.client.post("/api/events", twice), 400, "json_duplicate_key")
    }))
})
