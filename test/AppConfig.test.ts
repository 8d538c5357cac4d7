import { assert, describe, it } from "@effect/vitest"
import { Cause, ConfigProvider, Duration, Effect, FastCheck, LogLevel, Option, Redacted } from "effect"
import { AppConfig } from "../src/AppConfig.ts"
import * as StartFailure from "../src/StartFailure.ts"

/** As the process's environment would be read. */
const read = (environment: Readonly<Record<string, string>>) =>
  Effect.withConfigProvider(
    AppConfig,
    ConfigProvider.fromMap(new Map(Object.entries(environment)), { pathDelim: "_", seqDelim: "," })
  )

/** What a person is told. */
const told = (environment: Readonly<Record<string, string>>) =>
  Effect.map(Effect.flip(read(environment)), (error) => StartFailure.explain(Cause.fail(error)))

const key = `k1:${Buffer.alloc(32, 7).toString("base64")}`

/** Each whole or decimal number: its variable, its bounds, a value within them and where it goes. */
const numbers: ReadonlyArray<
  readonly [name: string, from: number, to: number, at: (config: AppConfig) => number, unit?: number]
> = [
  ["PORT", 0, 65_535, (config) => config.port],
  ["DATABASE_POOL_MAX", 2, 200, (config) => config.database.poolMax],
  ["DATABASE_QUERY_TIMEOUT_SECONDS", 1, 300, (config) => Duration.toSeconds(config.database.queryTimeout)],
  ["WEBHOOKS_DEFAULT_HTTP_TIMEOUT_MS", 100, 20_000, (config) => config.httpTimeoutMs],
  ["WEBHOOKS_MAX_PAYLOAD_SIZE_KB", 1, 10_240, (config) => config.payloadBytesMax, 1_024],
  ["WEBHOOKS_MAX_REQUEST_SIZE_KB", 1, 102_400, (config) => config.requestBytesMax, 1_024],
  ["WEBHOOKS_REQUEST_TIMEOUT_SECONDS", 1, 300, (config) => Duration.toSeconds(config.requestTimeout)],
  ["WEBHOOKS_MAX_CONCURRENT_REQUESTS", 1, 65_536, (config) => config.requestsMax],
  ["WEBHOOKS_RATE_LIMIT_PER_SECOND", 0, 1_000_000, (config) => config.rateLimit.perSecond],
  ["WEBHOOKS_RATE_LIMIT_BURST", 1, 1_000_000, (config) => config.rateLimit.burst],
  ["WEBHOOKS_IDEMPOTENCY_TTL_HOURS", 1, 720, (config) => Duration.toHours(config.idempotencyTtl)],
  ["WEBHOOKS_CLEANUP_WORKER_EVENT_LOG_RETENTION_DAYS", 1, 3_650, (config) => config.retentionDays],
  ["WEBHOOKS_RETRY_POLICY_MAX_ATTEMPTS", 1, 20, (config) => config.retryPolicy.maxAttempts],
  ["WEBHOOKS_RETRY_POLICY_BASE_DELAY_SECONDS", 0.01, 86_400, (config) => config.retryPolicy.baseDelayMs, 1_000],
  ["WEBHOOKS_RETRY_POLICY_MAX_DELAY_SECONDS", 0.01, 604_800, (config) => config.retryPolicy.maxDelayMs, 1_000],
  ["WEBHOOKS_RETRY_POLICY_BACKOFF_FACTOR", 1, 100, (config) => config.retryPolicy.backoffFactor],
  ["WEBHOOKS_DISPATCHER_CONCURRENCY", 1, 4_096, (config) => config.dispatcher.concurrency],
  ["WEBHOOKS_DISPATCHER_CONCURRENCY_PER_WEBHOOK", 1, 1_024, (config) => config.dispatcher.concurrencyPerWebhook],
  ["WEBHOOKS_DISPATCHER_LEASE_SECONDS", 6, 300, (config) => config.dispatcher.leaseSeconds],
  ["WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS", 50, 60_000, (config) => config.dispatcher.pollIntervalMs],
  ["WEBHOOKS_AUTO_DEACTIVATION_FAILURE_THRESHOLD", 1, 1_000_000, (config) => config.autoDeactivation.failureThreshold],
  ["WEBHOOKS_AUTO_DEACTIVATION_MIN_FAILING_MINUTES", 0, 10_080, (config) => config.autoDeactivation.minFailingMinutes],
  ["WEBHOOKS_HEALTH_CHECK_INTERVAL_MINUTES", 0, 10_080, (config) => Duration.toMinutes(config.healthCheckInterval)],
  ["WEBHOOKS_ALERTS_LATENCY_MS", 500, 20_000, (config) => config.alerts.latencyMs],
  ["WEBHOOKS_ALERTS_CERTIFICATE_DAYS", 0, 365, (config) => config.alerts.certificateDays],
  ["WEBHOOKS_ALERTS_SECRET_DAYS", 0, 365, (config) => config.alerts.secretDays],
  ["OTEL_EXPORTER_OTLP_TIMEOUT", 100, 60_000, ({ telemetry }) => Duration.toMillis(telemetry.timeout)],
  ["OTEL_TRACES_SAMPLER_ARG", 0, 1, ({ telemetry }) => telemetry.ratio],
  ["OTEL_BSP_SCHEDULE_DELAY", 10, 600_000, ({ telemetry }) => Duration.toMillis(telemetry.traceInterval)],
  ["OTEL_METRIC_EXPORT_INTERVAL", 10, 600_000, ({ telemetry }) => Duration.toMillis(telemetry.metricInterval)],
  ["OTEL_BLRP_SCHEDULE_DELAY", 10, 600_000, ({ telemetry }) => Duration.toMillis(telemetry.logInterval)]
]

describe("AppConfig", () => {
  it.effect("finds every setting in a provider that joins its parts with something else", () =>
    Effect.gen(function*() {
      const environment = numbers.map(([name, from]) => [name, String(from)] as const)
      const provider = ConfigProvider.fromMap(new Map(environment))
      const config = yield* Effect.withConfigProvider(AppConfig, provider)
      for (const [name, from, , at, unit = 1] of numbers) assert.strictEqual(at(config), from * unit, name)
    }))

  it.effect("has the design's defaults", () =>
    Effect.gen(function*() {
      const config = yield* read({})
      assert.deepInclude(config, {
        host: "127.0.0.1",
        port: 4_400,
        logLevel: LogLevel.Info,
        enabled: true,
        signatureAlgorithm: "hmac_sha256",
        userAgent: "Claude-MCP-Webhook/1.0",
        httpTimeoutMs: 5_000,
        payloadBytesMax: 256 * 1_024,
        requestsMax: 1_024,
        retentionDays: 30,
        dataDirectory: ".data"
      })
      assert.deepStrictEqual(config.retryPolicy, {
        maxAttempts: 5,
        baseDelayMs: 10_000,
        maxDelayMs: 43_200_000,
        backoffFactor: 6
      })
      assert.deepStrictEqual(config.nameServers, [])
      assert.deepStrictEqual({ ...config.url }, { schemes: ["https"], disallowed: [], allowed: [] })
      assert.deepStrictEqual({ ...config.rateLimit }, { perSecond: 1_000, burst: 2_000 })
      assert.strictEqual(Duration.toSeconds(config.requestTimeout), 30)
      assert.strictEqual(config.dispatcher.leaseSeconds, 30)
      assert.deepStrictEqual({ ...config.autoDeactivation }, {
        enabled: true,
        failureThreshold: 20,
        minFailingMinutes: 15
      })
      assert.strictEqual(Duration.toMinutes(config.healthCheckInterval), 15)
      assert.deepStrictEqual({ ...config.alerts }, { latencyMs: 2_000, certificateDays: 14, secretDays: 7 })
      assert.isTrue(Option.isNone(config.database.url))
      assert.isTrue(Option.isNone(config.encryptionKeys))
      assert.isTrue(Option.isNone(config.telemetry.endpoint))
      assert.deepInclude(config.telemetry, { sampler: "parentbased_traceidratio", ratio: 0.05, traces: true })
      assert.deepInclude(config, { logFormat: "auto", sendTraceparent: false })
      assert.isTrue(Option.isNone(config.mail))
    }))

  it.effect("the collector's headers are read as OpenTelemetry writes them, and not repeated", () =>
    Effect.gen(function*() {
      const { telemetry } = yield* read({ OTEL_EXPORTER_OTLP_HEADERS: "api-key=a=b, Authorization = Basic%20eA==" })
      assert.deepStrictEqual(Redacted.value(telemetry.headers), { "api-key": "a=b", Authorization: "Basic eA==" })
      for (const broken of ["api-key=a,hidden value", "api-key=hidden%zz", "=hidden"]) {
        const explained = yield* told({ OTEL_EXPORTER_OTLP_HEADERS: broken })
        assert.include(explained, "OTEL_EXPORTER_OTLP_HEADERS")
        assert.notInclude(explained, "hidden")
      }
      assert.include(yield* told({ OTEL_TRACES_SAMPLER: "sometimes" }), "one of always_on, always_off, traceidratio")
    }))

  it.effect("mail takes a server and an address, and tells nothing of the server's password", () =>
    Effect.gen(function*() {
      const url = { WEBHOOKS_SMTP_URL: "smtps://ops:s3cret@mail.example.com" }
      const { mail } = yield* read({ ...url, WEBHOOKS_SMTP_FROM: "hooks@example.com" })
      const { from, server } = Option.getOrThrow(mail)
      assert.strictEqual(from, "hooks@example.com")
      assert.deepInclude(server, { host: "mail.example.com", port: 465 })
      assert.notInclude(JSON.stringify(mail), "s3cret")
      assert.match(yield* told(url), /^ {2}WEBHOOKS_SMTP_FROM: expected an e-mail address/m)
      assert.match(
        yield* told({ ...url, WEBHOOKS_SMTP_FROM: "Hooks <a@b>" }),
        /^ {2}WEBHOOKS_SMTP_FROM: expected an e-mail address/m
      )
      const bad = yield* told({ WEBHOOKS_SMTP_URL: "http://ops:s3cret@mail", WEBHOOKS_SMTP_FROM: "hooks@example.com" })
      assert.match(bad, /^ {2}WEBHOOKS_SMTP_URL: expected smtp:\/\//m)
      assert.notInclude(bad, "s3cret")
      assert.isTrue(Option.isNone((yield* read({ WEBHOOKS_SMTP_FROM: "hooks@example.com" })).mail))
    }))

  for (const [name, from, to, at, unit = 1] of numbers) {
    it.effect(`reads ${name}, from ${from} to ${to}`, () =>
      Effect.gen(function*() {
        for (const value of [from, to]) {
          assert.strictEqual(at(yield* read({ [name]: String(value) })), value * unit)
        }
        for (const bad of [String(from - 1), String(to + 1), "many", "", "NaN", "Infinity", "1e999", "5 apples"]) {
          const message = yield* told({ [name]: bad })
          assert.match(
            message,
            new RegExp(`^  ${name}: .*number from ${from} to ${to}, found ${JSON.stringify(bad)}`, "m")
          )
        }
      }))
  }

  it.effect("reads each text, flag and name under its variable", () =>
    Effect.gen(function*() {
      const config = yield* read({
        HOST: "0.0.0.0",
        LOG_LEVEL: "DEBUG",
        OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318",
        DATABASE_URL: "postgres://u:p@h/d",
        WEBHOOKS_DATA_DIRECTORY: "/var/lib/hooks",
        WEBHOOKS_ENABLED: "false",
        WEBHOOKS_DEFAULT_SIGNATURE_ALGORITHM: "hmac_sha256",
        WEBHOOKS_USER_AGENT: "Acme/2",
        WEBHOOKS_ENCRYPTION_KEYS: key
      })
      assert.deepInclude(config, {
        host: "0.0.0.0",
        logLevel: LogLevel.Debug,
        dataDirectory: "/var/lib/hooks",
        enabled: false,
        userAgent: "Acme/2"
      })
      assert.strictEqual(Option.getOrThrow(config.telemetry.endpoint).href, "http://collector:4318/")
      assert.strictEqual(Redacted.value(Option.getOrThrow(config.database.url)), "postgres://u:p@h/d")
      assert.strictEqual(Option.getOrThrow(config.encryptionKeys)[0].id, "k1")
    }))

  it.effect("reads every level of the log, in capitals or not", () =>
    Effect.gen(function*() {
      for (const level of LogLevel.allLevels) {
        assert.strictEqual((yield* read({ LOG_LEVEL: level.label })).logLevel, level)
        assert.strictEqual((yield* read({ LOG_LEVEL: level.label.toLowerCase() })).logLevel, level)
      }
    }))

  it.effect("reads lists that are separated by commas, empty ones too", () =>
    Effect.gen(function*() {
      const { url } = yield* read({
        WEBHOOKS_ALLOWED_URL_SCHEMES: " https , http ",
        WEBHOOKS_DISALLOWED_IP_RANGES_FOR_URL: "8.8.8.0/24, 2001:4860::/32,",
        WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL: "127.0.0.1/32:9000,[::1/128]:8080"
      })
      const servers = ["9.9.9.9", "10.0.0.2:5353", "2620:fe::fe", "[2620:fe::fe]:53", "[::1]"]
      assert.deepStrictEqual((yield* read({ WEBHOOKS_DNS_SERVERS: servers.join(", ") })).nameServers, servers)
      assert.deepStrictEqual(url.schemes, ["https", "http"])
      assert.deepStrictEqual(url.disallowed.map(String), ["8.8.8.0/24", "2001:4860::/32"])
      assert.deepStrictEqual(url.allowed.map(String), ["127.0.0.1/32:9000", "[::1/128]:8080"])
      const none = yield* read({ WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL: "" })
      assert.deepStrictEqual(none.url.allowed, [])
    }))

  it.effect("says of a bad value which variable it is in, what was found and what is allowed", () =>
    Effect.gen(function*() {
      const cases = [
        ["WEBHOOKS_ENABLED", "maybe", ["true or false", `"maybe"`]],
        ["WEBHOOKS_DEFAULT_SIGNATURE_ALGORITHM", "md5", ["hmac_sha256", `"md5"`]],
        ["WEBHOOKS_USER_AGENT", "", ["printable ASCII", `""`]],
        ["HOST", " ", ["some text", `" "`]],
        ["DATABASE_URL", "mysql://u:p@h/d", ["expected postgres://"]],
        ["LOG_LEVEL", "loud", [`"loud"`, "ALL, TRACE, DEBUG, INFO, WARN, ERROR, FATAL, OFF"]],
        ["OTEL_EXPORTER_OTLP_ENDPOINT", "collector", ["collector", "URL"]],
        ["WEBHOOKS_ALLOWED_URL_SCHEMES", "https,ftp", [`"ftp"`, `"https"`, `"http"`]],
        ["WEBHOOKS_DISALLOWED_IP_RANGES_FOR_URL", "10.0.0.0/33", ["10.0.0.0/33"]],
        ["WEBHOOKS_DNS_SERVERS", "9.9.9.9,dns.quad9.net", [`"dns.quad9.net"`, "ip or ip:port"]],
        ["WEBHOOKS_DNS_SERVERS", "9.9.9.9:0", [`"9.9.9.9:0"`]],
        ["WEBHOOKS_DNS_SERVERS", "[::1]:70000", [`"[::1]:70000"`]],
        ["WEBHOOKS_DNS_SERVERS", "fe80::1%eth0", [`"fe80::1%eth0"`]],
        ["WEBHOOKS_DNS_SERVERS", "[9.9.9.9", [`"[9.9.9.9"`]],
        ["WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL", "10.0.0.1/8", ["did you mean", "10.0.0.0/8"]]
      ] as const
      for (const [name, value, wanted] of cases) {
        const message = yield* told({ [name]: value })
        assert.include(message, `  ${name}: `)
        for (const part of wanted) assert.include(message, part, name)
      }
    }))

  it.effect("names every bad variable at once", () =>
    Effect.gen(function*() {
      const message = yield* told({ PORT: "x", WEBHOOKS_ENABLED: "x", WEBHOOKS_RETRY_POLICY_MAX_ATTEMPTS: "0" })
      for (const name of ["PORT", "WEBHOOKS_ENABLED", "WEBHOOKS_RETRY_POLICY_MAX_ATTEMPTS"]) {
        assert.include(message, `\n  ${name}: `)
      }
    }))

  it.effect("prints no secret, whatever else is wrong", () =>
    Effect.gen(function*() {
      const short = Buffer.alloc(31, 9).toString("base64")
      const environment = {
        DATABASE_URL: "postgres://u:hunter2@h/d",
        WEBHOOKS_ENCRYPTION_KEYS: `k1:${short}`,
        PORT: "x"
      }
      const message = yield* told(environment)
      assert.include(message, "WEBHOOKS_ENCRYPTION_KEYS: ")
      assert.include(message, "entry 1 (k1): expected base64 of 32 bytes, found 31 bytes")
      for (const secret of [short, short.slice(0, 12), "hunter2"]) assert.notInclude(message, secret)
      const config = yield* read({ DATABASE_URL: "postgres://u:hunter2@h/d", WEBHOOKS_ENCRYPTION_KEYS: key })
      assert.notInclude(JSON.stringify(config) + String(config.database.url), "hunter2")
      assert.notInclude(JSON.stringify(config), key.slice(3, 20))
    }))

  it.effect.prop(
    "either takes any text as a port or says why not",
    [FastCheck.oneof(FastCheck.string(), FastCheck.integer().map(String))],
    ([text]) =>
      Effect.gen(function*() {
        const result = yield* Effect.either(read({ PORT: text }))
        if (result._tag === "Right") return assert.isTrue(result.right.port >= 0 && result.right.port <= 65_535)
        assert.include(StartFailure.explain(Cause.fail(result.left)), "PORT: expected a whole number from 0 to 65535")
      })
  )
})
