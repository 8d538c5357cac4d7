import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { type Answer, ApiTest, type Call, layer as Api, type Sender } from "../support/ApiTest.ts"

const event = { event_type: "deal.won", payload: { id: 1 } }

/** Requests to publish, by what there is to say of them. */
const requests: Readonly<
  Record<string, { readonly one: string; readonly many: string; readonly headers?: Call["headers"] }>
> = {
  "as it ought to be": { one: JSON.stringify(event), many: JSON.stringify({ events: [event] }) },
  "no JSON": { one: "{", many: "{" },
  "no object": { one: "[]", many: "1" },
  "an unknown field": { one: JSON.stringify({ ...event, more: 1 }), many: JSON.stringify({ events: [], more: 1 }) },
  "a payload that is none": { one: `{"event_type": "a.b", "payload": 1}`, many: `{"events": [{"event_type": "a.b"}]}` },
  "a name that is none": {
    one: `{"event_type": "A B", "payload": {}}`,
    many: `{"events": [{"event_type": "", "payload": {}}]}`
  },
  "a field twice": {
    one: `{"event_type": "a.b", "event_type": "a.b", "payload": {}}`,
    many: `{"events": [], "events": []}`
  },
  "another media type": { one: "a=1", many: "a=1", headers: { "content-type": "application/x-www-form-urlencoded" } },
  "an empty key of idempotency": {
    one: JSON.stringify(event),
    many: JSON.stringify({ events: [event] }),
    headers: { "idempotency-key": "" }
  },
  "an odd trace": {
    one: JSON.stringify(event),
    many: JSON.stringify({ events: [event] }),
    headers: { traceparent: "00-0-0-0" }
  }
}

/** What two answers to the same request may differ in. */
const comparable = ({ headers, json, status }: Answer) => {
  // Whether the connection ends depends on how much of a refused body had come by then.
  const { connection: _, "content-length": __, date: ___, "keep-alive": ____, ...others } = headers
  // Tokens come back between the two.
  const ratelimit = others["ratelimit"]?.replace(/r=\d+/, "r=n")
  return { status, headers: { ...others, ratelimit }, body: withoutIds(json) }
}

const withoutIds = (json: unknown): unknown =>
  JSON.parse(
    JSON.stringify(json ?? null, (_, value) =>
      typeof value === "string"
        ? value.replace(/(?:evt|dlv)_[0-9a-z]+/g, "id")
        : value)
  )

const post = (sender: Sender, path: string, body: string, headers: Call["headers"] = {}) =>
  sender.send({
    method: "POST",
    path,
    headers: { "content-type": "application/json", ...headers },
    body
  })

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Publishing", (it) => {
  for (const [what, { headers, many, one }] of Object.entries(requests)) {
    it.scoped(`answers the same on its short way and on the platform's: ${what}`, () =>
      Effect.gen(function*() {
        const { nobody, newTenant } = yield* ApiTest
        const { publisher, viewer } = yield* newTenant
        for (const [path, body] of [["/api/events", one], ["/api/events/batch", many]] as const) {
          for (const sender of [publisher, viewer, nobody]) {
            const short = comparable(yield* post(sender, path, body, headers))
            const long = comparable(yield* post(sender, `${path}/`, body, headers))
            assert.deepStrictEqual(short, long, path)
          }
        }
      }))
  }
})
