import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { ApiTest, expectProblem, layer as Api } from "../support/ApiTest.ts"

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Messages", (it) => {
  it.effect("what is expected is said in the words of whoever asks, and what was sent is not repeated", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const said = (path: string, body: object) =>
        Effect.map(
          a.client.post(path, body),
          (answer): ReadonlyArray<string> =>
            expectProblem(answer, 422, "invalid_value").json.errors.map(({ message }: { message: string }) => message)
        )
      const webhook = { url: "https://example.com/hook", events: ["deal.won"] }
      assert.deepStrictEqual(yield* said("/api/events/batch", { events: {} }), ["expected a list, found an object"])
      assert.deepStrictEqual(yield* said("/api/events", []), ["expected an object, found a list"])
      assert.deepStrictEqual(yield* said("/api/events", { event_type: "a.b", payload: 1 }), [
        "expected an object, found a number"
      ])
      const moment = "expected a moment like 2025-02-20T09:34:00Z"
      const event = { event_type: "a.b", payload: {}, occurred_at: "2025-13-99" }
      assert.deepStrictEqual(yield* said("/api/events", event), [moment])
      const wrong: ReadonlyArray<readonly [string, unknown, string]> = [
        ["name", 1, "expected a text, found a number"],
        ["is_active", "yes", "expected true or false, found a text"],
        ["retry_count", 1.5e300, "expected a number"],
        ["headers", 5, "expected an object of header names and values"],
        ["events", "deal.won", "expected a list, found a text"],
        ["signatures", [], "expected one or more of x_signature, deeper_hub, standard_webhooks"]
      ]
      for (const [field, value, message] of wrong) {
        assert.deepStrictEqual(yield* said("/api/webhooks", { ...webhook, [field]: value }), [message])
      }
    }))
})
