import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { toUuid } from "../../src/domain/Ids.ts"
import { StatsStore } from "../../src/persistence/StatsStore.ts"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, layer as Api, type Sender } from "../support/ApiTest.ts"
import { eventually } from "../support/Eventually.ts"

const statsOf = (sender: Sender, { id }: { readonly id: string }, query = "") =>
  Rows.read(sender, `/api/webhooks/${id}/stats${query}`)

const sum = (counts: ReadonlyArray<number>) => counts.reduce((total, count) => total + count, 0)

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Stats", (it) => {
  it.effect("of a webhook that nothing was sent to there is nothing, and the whole series of it", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const stats = yield* statsOf(a.viewer, yield* Rows.register(a.client, { events: ["never"] }))
      assert.deepStrictEqual(
        { ...stats, from: "", to: "", series: stats.series.length },
        {
          window: "24h",
          from: "",
          to: "",
          bucket_seconds: 3_600,
          deliveries: { total: 0, delivered: 0, failed_permanent: 0, failed_retryable: 0, pending: 0 },
          attempts: { total: 0, succeeded: 0, failed: 0 },
          success_rate: null,
          latency_ms: { p50: null, p95: null, p99: null },
          failures: [],
          retries: { made: 0, scheduled: 0 },
          series: 24
        }
      )
      assert.deepInclude(stats.series[0], { at: stats.from, attempts: 0, succeeded: 0, failed: 0, latency_p95: null })
    }))

  it.scoped("attempts are counted as they ended, by their deliveries, their class and their place in the series", () =>
    Effect.gen(function*() {
      const { attempted, newTenant } = yield* ApiTest
      const { client, viewer } = yield* newTenant
      const receiver = yield* Rows.receiver({ status: 200 }, { status: 503 }, { status: 404 }, { status: 200 })
      const webhook = yield* Rows.register(client, { url: receiver.url() })
      yield* Rows.deliver(client, "deal.won")
      const failed = yield* Rows.deliver(client, "deal.won")
      yield* Rows.deliver(client, "deal.won")
      const before = yield* statsOf(viewer, webhook, "?window=1h")
      assert.deepStrictEqual(before.deliveries, {
        total: 3,
        delivered: 1,
        failed_permanent: 1,
        failed_retryable: 1,
        pending: 0
      })
      assert.deepStrictEqual(before.retries, { made: 0, scheduled: 1 })
      yield* client.post(`/api/deliveries/${failed.id}/retry`)
      yield* attempted(failed.id, 2)
      for (const window of ["1h", "24h", "7d", "30d"]) {
        const stats = yield* statsOf(viewer, webhook, `?window=${window}`)
        assert.strictEqual(stats.window, window)
        assert.deepStrictEqual(stats.attempts, { total: 4, succeeded: 2, failed: 2 })
        assert.strictEqual(stats.success_rate, 0.5)
        assert.deepStrictEqual(stats.failures, [
          { error_class: "http_4xx", count: 1 },
          { error_class: "http_5xx", count: 1 }
        ])
        assert.deepStrictEqual(stats.retries, { made: 1, scheduled: 1 })
        assert.deepInclude(stats.deliveries, { total: 3, delivered: 2, failed_permanent: 1 })
        assert.isAtMost(stats.latency_ms.p50, stats.latency_ms.p99)
        const ends = stats.series.map(({ at }: { at: string }) => Date.parse(at))
        assert.strictEqual(ends.at(-1) - ends[0], (ends.length - 1) * stats.bucket_seconds * 1_000)
        assert.strictEqual(ends[0], Date.parse(stats.from))
        assert.strictEqual(sum(stats.series.map(({ attempts }: { attempts: number }) => attempts)), 4)
      }
    }))

  it.effect("the windows there are are said, and no other webhook's are shown", () =>
    Effect.gen(function*() {
      const { a, b } = yield* ApiTest
      const { id } = yield* Rows.register(a.client, { events: ["never"] })
      for (const window of ["1d", "", "24H", "0"]) {
        const { json } = expectProblem(
          yield* a.viewer.get(`/api/webhooks/${id}/stats?window=${window}`),
          422,
          "invalid_value"
        )
        assert.include(json.detail, "\"1h\", \"24h\", \"7d\", \"30d\"")
      }
      expectProblem(yield* b.client.get(`/api/webhooks/${id}/stats`), 404, "webhook_not_found")
      expectProblem(yield* a.publisher.get(`/api/webhooks/${id}/stats`), 403, "forbidden")
    }))

  it.scoped("what is past is kept by the hour and adds up to the same, and what no window reaches is forgotten", () =>
    Effect.gen(function*() {
      const { newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const sql = yield* SqlClient.SqlClient
      const webhook = yield* Rows.register(client, { url: (yield* Rows.receiver()).url() })
      for (let n = 0; n < 3; n++) yield* Rows.deliver(client, "deal.won")
      const id = toUuid(webhook.id)
      const copy = (hours: number, minutes: number) =>
        sql`
          INSERT INTO webhook_stats
          SELECT ${id}, date_bin('1 hour', now(), to_timestamp(0)) - make_interval(hours => ${hours}, mins => ${-minutes}),
            'success', 3, 1, 0, '{0,0,1,2}'`
      for (const minutes of [0, 5, 55]) yield* copy(4, minutes)
      yield* copy(33 * 24, 0)
      const before = yield* statsOf(client, webhook)
      assert.deepStrictEqual(before.attempts, { total: 12, succeeded: 12, failed: 0 })
      yield* Effect.flatMap(StatsStore, (store) => store.sweep)
      const after = yield* statsOf(client, webhook)
      assert.deepStrictEqual({ ...after, to: "" }, { ...before, to: "" })
      const rows = yield* sql`SELECT attempts FROM webhook_stats WHERE webhook_id = ${id} ORDER BY at`
      assert.deepStrictEqual(rows.map(({ attempts }) => attempts)[0], 9)
      assert.deepStrictEqual(after.retries, { made: 3, scheduled: 0 })
      yield* eventually(
        sql`SELECT 1 FROM webhook_stats WHERE at < now() - interval '32 days'`,
        (old) => old.length === 0
      )
    }))
})
