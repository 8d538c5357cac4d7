import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric, MetricState } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { parse } from "yaml"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import * as Prometheus from "../../src/telemetry/Prometheus.ts"

const folder = new URL("../../deploy/", import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, folder), "utf8")

interface Query {
  readonly where: string
  readonly expr: string
}

interface Panel {
  readonly title: string
  readonly targets: ReadonlyArray<{ readonly expr: string }>
}

const dashboards: ReadonlyArray<Query> = readdirSync(new URL("grafana/dashboards", folder)).flatMap((name) => {
  const { panels } = JSON.parse(read(`grafana/dashboards/${name}`)) as { readonly panels: ReadonlyArray<Panel> }
  return panels.flatMap(({ targets, title }) => targets.map(({ expr }) => ({ where: `${name}: ${title}`, expr })))
})

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly annotations: { readonly runbook: string }
}

const rules: ReadonlyArray<Rule> = parse(read("prometheus/alerts.yml")).groups.flatMap(
  ({ rules }: { readonly rules: ReadonlyArray<Rule> }) => rules
)

const alerts: ReadonlyArray<Query> = rules.map(({ alert, expr }) => ({ where: `alert ${alert}`, expr }))

const isMetric = (value: unknown): value is Metric.Metric<unknown, number, unknown> =>
  typeof value === "function" && Metric.MetricTypeId in value

/** The names of what `/metrics` has once each metric that the service declares has a value. */
const exported = Effect.gen(function*() {
  for (const metric of Object.values<unknown>(Metrics).filter(isMetric)) {
    const isHistogram = MetricState.isHistogramState(metric.unsafeValue([]))
    metric.unsafeUpdate(isHistogram ? 1 : 0, [])
  }
  const text = yield* Prometheus.render
  const types = text.matchAll(/^# TYPE (\S+) (\S+)$/gm)
  return new Set(
    Array.from(types).flatMap(([, name = "", type]) =>
      type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name]
    )
  )
})

/** Prometheus's own, the scraped ones' and those that the service tags with. */
const labels = new Set([
  "le",
  "job",
  "instance",
  "webhook_id_masked",
  "event_type",
  "http_status_code_group",
  "webhook_url_host",
  "new_state",
  "hold",
  "actor",
  "state",
  "reason",
  "signal",
  "table"
])

const labelsOf = (expr: string): ReadonlyArray<string> => [
  ...Array.from(expr.matchAll(/[{,]\s*(\w+)\s*(?:=~|!~|!=|=)/g), ([, label = ""]) => label),
  ...Array.from(expr.matchAll(/\bby \(([^)]*)\)/g), ([, list = ""]) => list.split(",").map((label) => label.trim()))
    .flat()
]

describe("What dashboards and alerts ask for", () => {
  it.effect("is exported, under these names and labels", () =>
    Effect.gen(function*() {
      const names = yield* exported
      assert.include(names, "deeper_hub_webhooks_delivery_attempts_count_total")
      const queries = [...dashboards, ...alerts]
      assert.isAbove(queries.length, 40)
      for (const { expr, where } of queries) {
        for (const [name] of expr.matchAll(/\bdeeper_hub_\w+/g)) assert.isTrue(names.has(name), `${where}: ${name}`)
        for (const label of labelsOf(expr)) assert.isTrue(labels.has(label), `${where}: ${label}`)
      }
    }))

  it.effect("leaves out nothing that is exported", () =>
    Effect.gen(function*() {
      const asked = [...dashboards, ...alerts].map(({ expr }) => expr).join("\n")
      const bases = new Set(Array.from(yield* exported, (name) => name.replace(/_(bucket|sum|count)$/, "")))
      const ours = Array.from(bases).filter((name) => name.startsWith("deeper_hub_"))
      assert.isEmpty(ours.filter((name) => !asked.includes(name)))
    }))

  it("is explained, for each alert, where its runbook says", () => {
    const headings = Array.from(
      readFileSync(new URL("../docs/operations.md", folder), "utf8").matchAll(/^#+ (.*)$/gm),
      ([, title = ""]) => title.toLowerCase()
    )
    for (const { alert, annotations: { runbook } } of rules) {
      assert.strictEqual(runbook, `docs/operations.md#${alert.toLowerCase()}`)
      assert.include(headings, alert.toLowerCase())
    }
  })
})
