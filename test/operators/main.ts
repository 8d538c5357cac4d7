/**
 * What a test with nothing but Node cannot show: a real Prometheus scrapes the service and evaluates the alerts and every
 * query of the dashboards, and a real OpenTelemetry Collector takes what the service exports and hands it on.
 *
 * Wants `prometheus` and `promtool` on the PATH, and in OTELCOL the path of a collector with the components that
 * otel-collector.yaml names. `npm run check:operators`
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Console, Data, Effect, Schedule } from "effect"
import { execFile } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { request } from "undici"
import * as Child from "../support/Child.ts"
import * as EmbeddedService from "../support/EmbeddedService.ts"
import { eventually, soon } from "../support/Eventually.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Service from "../support/Service.ts"

const run = promisify(execFile)
const deploy = join(Service.checkout, "deploy")

/** What was asked for as JSON; its shape is what is looked at. */
type Parsed = ReturnType<typeof JSON.parse>

const text = (url: string, headers: Readonly<Record<string, string>> = {}) =>
  Effect.promise(async () => {
    const { body, statusCode } = await request(url, { headers })
    const answer = await body.text()
    if (statusCode !== 200) throw new Error(`${url} answered ${statusCode}: ${answer}`)
    return answer
  }).pipe(
    // It may not listen yet.
    Effect.sandbox,
    Effect.retry({ schedule: Schedule.spaced("100 millis"), times: 100 }),
    Effect.unsandbox
  )

const json = (url: string): Effect.Effect<Parsed> => Effect.map(text(url), (body) => JSON.parse(body))

class CheckFailed extends Data.TaggedError("CheckFailed")<{ readonly message: string }> {}

const check = (what: string, holds: boolean, detail: unknown = "") =>
  holds ? Console.log(`ok    ${what}`) : new CheckFailed({ message: `${what}: ${JSON.stringify(detail)}` })

/** Says what the tool says, and fails as it fails. */
const tool = (command: string, args: ReadonlyArray<string>, cwd = Service.checkout) =>
  Effect.gen(function*() {
    yield* Effect.promise(() => run(command, [...args], { cwd }))
    yield* Console.log(`ok    ${command} ${args.join(" ")}`)
  })

/** Remarks on names that are given: promtool would have seconds, and no `_count` but a histogram's. */
const given = /latency_ms|registered_count|non-histogram and non-summary metrics should not have "_count"/

const lint = (metrics: string) =>
  Effect.gen(function*() {
    const said = yield* Effect.async<{ readonly code: unknown; readonly text: string }>((resume) => {
      const child = execFile("promtool", ["check", "metrics"], (error, stdout, stderr) =>
        resume(Effect.succeed({ code: error?.code ?? 0, text: `${stdout}${stderr}` })))
      child.stdin?.end(metrics)
    })
    // 1: it cannot be read. 3: there are remarks.
    const remarks = said.text.split("\n").filter((line) =>
      line !== ""
    )
    yield* check("promtool reads /metrics", said.code === 0 || said.code === 3, said)
    yield* check(
      "promtool has no remark but on names that are given",
      remarks.every((line) => given.test(line)),
      remarks
    )
    yield* Effect.forEach(remarks, (line) => Console.log(`      ${line}`))
  })

const publish = ({ api }: Service.Running, url: string) =>
  Effect.gen(function*() {
    yield* api.send("POST", "/api/webhooks", { url, events: ["*"], secret_key: "a-secret-of-the-check" })
    for (let n = 0; n < 5; n++) yield* api.publish("check.done", { n })
  })

const prometheus = (directory: string, service: Service.Running, path: string) =>
  Effect.gen(function*() {
    const config = readFileSync(join(deploy, "prometheus/prometheus.yml"), "utf8")
      .replaceAll("15s", "1s").replace("alerts.yml", join(deploy, "prometheus/alerts.yml"))
      .replace("service:4400", new URL(service.base).host)
    writeFileSync(join(directory, "prometheus.yml"), config)
    const port = 19_090
    yield* Child.start("prometheus", [
      `--config.file=${join(directory, "prometheus.yml")}`,
      `--storage.tsdb.path=${join(directory, "tsdb")}`,
      `--web.listen-address=127.0.0.1:${port}`
    ], { cwd: directory, env: { PATH: path } })
    const api = `http://127.0.0.1:${port}/api/v1`
    const query = (expr: string) => json(`${api}/query?query=${encodeURIComponent(expr)}`)
    const delivered = `sum(deeper_hub_webhooks_delivery_attempts_count_total{http_status_code_group="2xx"})`
    yield* eventually(query(delivered), ({ data }) => Number(data.result[0]?.value[1]) >= 5)
    yield* check("Prometheus has scraped the attempts", true)

    const rules = (data: Parsed) => data.groups.flatMap((group: Parsed) => group.rules)
    const { data } = yield* eventually(
      json(`${api}/rules`),
      ({ data }) => rules(data).every((rule: Parsed) => rule.health !== "unknown")
    )
    const unwell = rules(data).filter((rule: Parsed) => rule.health !== "ok")
    yield* check(`Prometheus evaluates all ${rules(data).length} alerts`, unwell.length === 0, unwell)
    const firing = rules(data).filter((rule: Parsed) => rule.state === "firing").map((rule: Parsed) => rule.name)
    yield* check("none fires", firing.length === 0, firing)

    const folder = join(deploy, "grafana/dashboards")
    const panels = readdirSync(folder).flatMap((name) => JSON.parse(readFileSync(join(folder, name), "utf8")).panels)
    const exprs: ReadonlyArray<string> = panels.flatMap(({ targets }: Parsed) =>
      targets.map(({ expr }: Parsed) => expr)
    )
    const answers = yield* Effect.forEach(exprs, (expr) => query(expr.replaceAll("$__rate_interval", "1m")))
    const bad = exprs.filter((_, i) => answers[i].status !== "success")
    yield* check(`Prometheus answers all ${exprs.length} queries of the dashboards`, bad.length === 0, bad)
  })

/** The one at the top of the checkout, with its exporters pointed at a receiver of ours. */
const collector = (directory: string, path: string, otelcol: string) =>
  Effect.gen(function*() {
    const sink = yield* ScriptedReceiver.make()
    const here = [
      "receivers: { otlp: { protocols: { http: { endpoint: '127.0.0.1:4318' }, grpc: { endpoint: '127.0.0.1:4317' } } } }",
      "exporters:",
      "  otlphttp/traces: { compression: none, encoding: json }",
      "  otlphttp/logs: { compression: none, encoding: json }",
      "  prometheus: { endpoint: '127.0.0.1:8889' }",
      "extensions: { health_check: { endpoint: '127.0.0.1:13133' } }"
    ].join("\n")
    writeFileSync(join(directory, "here.yaml"), here)
    const endpoint = sink.url("/").href.replace(/\/$/, "")
    const env = { PATH: path, LOGS_ENDPOINT: endpoint, TRACES_ENDPOINT: endpoint }
    const config = ["--config", join(Service.checkout, "otel-collector.yaml"), "--config", join(directory, "here.yaml")]
    const child = yield* Child.start(otelcol, config, { cwd: directory, env })
    yield* soon(child.said(/Everything is ready/))
    return sink
  })

const program = Effect.scoped(Effect.gen(function*() {
  const path = yield* Config.string("PATH")
  const otelcol = yield* Config.string("OTELCOL").pipe(Config.withDefault("otelcol"))
  yield* tool("promtool", ["check", "rules", "alerts.yml"], join(deploy, "prometheus"))
  yield* tool("promtool", ["check", "config", "prometheus.yml"], join(deploy, "prometheus"))
  yield* tool("promtool", ["test", "rules", "alerts.test.yml"], join(deploy, "prometheus"))
  yield* tool(otelcol, ["validate", "--config", "otel-collector.yaml"])

  const dataDirectory = yield* EmbeddedService.directory()
  const directory = join(dataDirectory, "operators")
  mkdirSync(directory)
  const sink = yield* collector(directory, path, otelcol)
  const receiver = yield* ScriptedReceiver.make({ status: 200 })
  const service = yield* Service.serve({
    dataDirectory,
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318",
      OTEL_TRACES_SAMPLER: "always_on",
      OTEL_BSP_SCHEDULE_DELAY: "100",
      OTEL_BLRP_SCHEDULE_DELAY: "100",
      OTEL_METRIC_EXPORT_INTERVAL: "500"
    }
  })
  yield* publish(service, receiver.url().href)
  yield* soon(Effect.repeat(Effect.sync(() => receiver.received.length), {
    until: (count) => count >= 5,
    schedule: Schedule.spaced("20 millis")
  }))
  yield* prometheus(directory, service, path)
  const metrics = yield* text(`${service.base}/metrics`)
  yield* lint(metrics)

  const names = (exposition: string) =>
    new Set(Array.from(exposition.matchAll(/^(deeper_hub_\w+)[{ ]/gm), ([, name = ""]) => name))
  const handedOn = yield* eventually(
    text("http://127.0.0.1:8889/metrics"),
    (exposition) => exposition.includes("deeper_hub_webhooks_registered_count")
  )
  const missing = Array.from(names(metrics)).filter((name) => !names(handedOn).has(name))
  yield* check("the collector has every metric, under the same name", missing.length === 0, missing)
  const openMetrics = yield* eventually(
    text("http://127.0.0.1:8889/metrics", { accept: "application/openmetrics-text; version=1.0.0" }),
    (exposition) => / # \{.*trace_id=/.test(exposition)
  )
  yield* check("the collector has exemplars", / # \{.*trace_id=/.test(openMetrics))
  const sent = (name: string, words: string) =>
    eventually(
      Effect.sync(() => sink.received.filter((one) => one.path === name).map((one) => one.text).join("\n")),
      (all) => all.includes(words)
    )
  yield* sent("/v1/traces", "deeper_hub.webhooks.dispatch.attempt")
  yield* check("the collector hands spans on", true)
  yield* sent("/v1/logs", "delivered")
  yield* check("the collector hands log records on", true)
}))

NodeRuntime.runMain(program)
