/** Every setting: its name in the environment, its default and its bounds. Nothing else in `src/` reads the environment. */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { EmailAddress } from "./domain/EmailAddress.ts"
import { EncryptionKeys } from "./signing/EncryptionKeys.ts"
import * as Logs from "./telemetry/Logs.ts"
import { serviceName } from "./telemetry/NodeIdentity.ts"
import * as Tracing from "./telemetry/Tracing.ts"
import { AddressRangeFromString } from "./transport/AddressRange.ts"
import { NameServer } from "./transport/Resolver.ts"
import * as SmtpServer from "./transport/SmtpServer.ts"

/** One setting. `expected` completes the sentence that a bad value is answered with. */
const setting = <A, I extends string>(
  name: string,
  expected: string,
  schema: Schema.Schema<A, I>,
  otherwise: NoInfer<A>
) =>
  Schema.Config(
    name,
    schema.annotations({
      message: ({ actual }) => ({ message: `expected ${expected}, found ${JSON.stringify(actual)}`, override: true })
    })
  ).pipe(Config.withDefault(otherwise))

const integer = (name: string, from: number, to: number, otherwise: number) =>
  setting(
    name,
    `a whole number from ${from} to ${to}`,
    Schema.NumberFromString.pipe(Schema.int(), Schema.between(from, to)),
    otherwise
  )

const decimal = (name: string, from: number, to: number, otherwise: number) =>
  setting(name, `a number from ${from} to ${to}`, Schema.NumberFromString.pipe(Schema.between(from, to)), otherwise)

const flag = (name: string, otherwise: boolean) => setting(name, "true or false", Schema.BooleanFromString, otherwise)

const text = (name: string, otherwise: string) => setting(name, "some text", Schema.NonEmptyTrimmedString, otherwise)

const logLevel = (name: string, otherwise: LogLevel.LogLevel) =>
  Config.string(name).pipe(
    Config.mapOrFail((text) =>
      Either.fromNullable(
        LogLevel.allLevels.find(({ label }) => label === text.trim().toUpperCase()),
        () => ConfigError.InvalidData([], `expected one of ${logLevels}, found ${JSON.stringify(text)}`)
      )
    ),
    Config.withDefault(otherwise)
  )
const logLevels = LogLevel.allLevels.map(({ label }) => label).join(", ")

/** For schemas that say themselves what is wrong: their sentences, without the tree around them. */
const decoded = <A>(name: string, schema: Schema.Schema<A, string>) => {
  const decode = Schema.decodeEither(schema, { errors: "all" })
  return Config.mapOrFail(
    Config.string(name),
    (text) =>
      Either.mapLeft(decode(text), (error) =>
        ConfigError.InvalidData(
          [],
          ParseResult.ArrayFormatter.formatErrorSync(error).map(({ message }) => message).join("; ")
        ))
  )
}

/** Comma-separated; empty means none. */
const list = <A, I extends string>(name: string, item: Schema.Schema<A, I>, otherwise: ReadonlyArray<NoInfer<A>>) =>
  decoded(
    name,
    Schema.transform(Schema.String, Schema.Array(item), {
      strict: false,
      decode: (line) => line.split(",").map((part) => part.trim()).filter((part) => part !== ""),
      encode: (parts) => parts.join(",")
    })
  ).pipe(Config.withDefault(otherwise))

/** One of these words. */
const choice = <const A extends readonly [string, ...ReadonlyArray<string>]>(
  name: string,
  words: A,
  otherwise: NoInfer<A[number]>
) => setting(name, `one of ${words.join(", ")}`, Schema.Literal(...words), otherwise)

const milliseconds = (name: string, from: number, to: number, otherwise: number) =>
  Config.map(integer(name, from, to, otherwise), Duration.millis)

const seconds = (name: string, from: number, to: number, otherwise: number) =>
  Config.map(integer(name, from, to, otherwise), Duration.seconds)

// It holds a password: what was found is not repeated.
const databaseUrl = Config.redacted("DATABASE_URL").pipe(
  Config.mapOrFail((url) =>
    /^postgres(ql)?:\/\//.test(Redacted.value(url)) && URL.canParse(Redacted.value(url))
      ? Either.right(url)
      : Either.left(ConfigError.InvalidData(["DATABASE_URL"], "expected postgres://user:password@host:port/database"))
  )
)

// It may hold a password: what was found is not repeated.
const smtpUrl = Config.redacted("WEBHOOKS_SMTP_URL").pipe(
  Config.mapOrFail((url) =>
    Either.mapLeft(
      SmtpServer.fromUrl(url),
      (expected) => ConfigError.InvalidData(["WEBHOOKS_SMTP_URL"], `expected ${expected}`)
    )
  )
)

/** Where mail goes out; none: no mail is sent. */
const mail = Config.all({
  server: Config.option(smtpUrl),
  from: Config.option(decoded("WEBHOOKS_SMTP_FROM", EmailAddress))
}).pipe(
  Config.mapOrFail(({ from, server }) =>
    Option.isSome(server) && Option.isNone(from)
      ? Either.left(ConfigError.InvalidData(
        ["WEBHOOKS_SMTP_FROM"],
        "expected an e-mail address like hooks@example.com, because WEBHOOKS_SMTP_URL is set"
      ))
      : Either.right(Option.all({ from, server }))
  )
)

const otlpHeader = /^\s*[\w-]+\s*=/

// They hold credentials: what was found is not repeated.
const otlpHeaders = Config.string("OTEL_EXPORTER_OTLP_HEADERS").pipe(
  Config.mapOrFail((text) => {
    const pairs = text.split(",").filter((pair) => pair.trim() !== "")
    const decoded = Either.try(() =>
      pairs.map((pair) => {
        const at = pair.indexOf("=")
        return [pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())] as const
      })
    )
    return Either.isRight(decoded) && pairs.every((pair) => otlpHeader.test(pair))
      ? Either.right(decoded.right)
      : Either.left(ConfigError.InvalidData(["OTEL_EXPORTER_OTLP_HEADERS"], "expected name=value, comma-separated"))
  }),
  Config.withDefault([]),
  Config.map((pairs) => Redacted.make<Readonly<Record<string, string>>>(Object.fromEntries(pairs)))
)

const signal = (name: string) => Config.map(choice(name, ["otlp", "none"], "otlp"), (to) => to === "otlp")

/** The names and meanings are OpenTelemetry's own (its specification, "Environment variables"). */
const telemetry = Config.all({
  endpoint: Config.option(Config.url("OTEL_EXPORTER_OTLP_ENDPOINT")),
  headers: otlpHeaders,
  serviceName: text("OTEL_SERVICE_NAME", serviceName),
  timeout: milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT", 100, 60_000, 10_000),
  traces: signal("OTEL_TRACES_EXPORTER"),
  metrics: signal("OTEL_METRICS_EXPORTER"),
  logs: signal("OTEL_LOGS_EXPORTER"),
  sampler: choice("OTEL_TRACES_SAMPLER", Tracing.samplers, "parentbased_traceidratio"),
  ratio: decimal("OTEL_TRACES_SAMPLER_ARG", 0, 1, 0.05),
  traceInterval: milliseconds("OTEL_BSP_SCHEDULE_DELAY", 10, 600_000, 5_000),
  metricInterval: milliseconds("OTEL_METRIC_EXPORT_INTERVAL", 10, 600_000, 60_000),
  logInterval: milliseconds("OTEL_BLRP_SCHEDULE_DELAY", 10, 600_000, 1_000)
})

export const AppConfig = Config.all({
  host: text("HOST", "127.0.0.1"),
  port: integer("PORT", 0, 65_535, 4_400),
  logLevel: logLevel("LOG_LEVEL", LogLevel.Info),
  logFormat: choice("LOG_FORMAT", Logs.formats, "auto"),
  telemetry,
  sendTraceparent: flag("WEBHOOKS_SEND_TRACEPARENT", false),
  database: Config.all({
    url: Config.option(databaseUrl),
    poolMax: integer("DATABASE_POOL_MAX", 2, 200, 20),
    queryTimeout: seconds("DATABASE_QUERY_TIMEOUT_SECONDS", 1, 300, 10)
  }),
  dataDirectory: text("WEBHOOKS_DATA_DIRECTORY", ".data"),
  enabled: flag("WEBHOOKS_ENABLED", true),
  signatureAlgorithm: setting(
    "WEBHOOKS_DEFAULT_SIGNATURE_ALGORITHM",
    "hmac_sha256, the only one there is",
    Schema.Literal("hmac_sha256"),
    "hmac_sha256"
  ),
  userAgent: setting(
    "WEBHOOKS_USER_AGENT",
    "1 to 256 printable ASCII characters",
    Schema.String.pipe(Schema.pattern(/^[ -~]{1,256}$/)),
    "Claude-MCP-Webhook/1.0"
  ),
  encryptionKeys: Config.option(decoded("WEBHOOKS_ENCRYPTION_KEYS", EncryptionKeys)),
  httpTimeoutMs: integer("WEBHOOKS_DEFAULT_HTTP_TIMEOUT_MS", 100, 20_000, 5_000),
  payloadBytesMax: Config.map(integer("WEBHOOKS_MAX_PAYLOAD_SIZE_KB", 1, 10_240, 256), (kb) => kb * 1_024),
  requestBytesMax: Config.map(integer("WEBHOOKS_MAX_REQUEST_SIZE_KB", 1, 102_400, 1_024), (kb) => kb * 1_024),
  requestTimeout: seconds("WEBHOOKS_REQUEST_TIMEOUT_SECONDS", 1, 300, 30),
  requestsMax: integer("WEBHOOKS_MAX_CONCURRENT_REQUESTS", 1, 65_536, 1_024),
  rateLimit: Config.all({
    perSecond: integer("WEBHOOKS_RATE_LIMIT_PER_SECOND", 0, 1_000_000, 1_000),
    burst: integer("WEBHOOKS_RATE_LIMIT_BURST", 1, 1_000_000, 2_000)
  }),
  idempotencyTtl: Config.map(integer("WEBHOOKS_IDEMPOTENCY_TTL_HOURS", 1, 720, 24), Duration.hours),
  retentionDays: integer("WEBHOOKS_CLEANUP_WORKER_EVENT_LOG_RETENTION_DAYS", 1, 3_650, 30),
  retryPolicy: Config.all({
    maxAttempts: integer("WEBHOOKS_RETRY_POLICY_MAX_ATTEMPTS", 1, 20, 5),
    baseDelayMs: Config.map(decimal("WEBHOOKS_RETRY_POLICY_BASE_DELAY_SECONDS", 0.01, 86_400, 10), (s) => s * 1_000),
    maxDelayMs: Config.map(decimal("WEBHOOKS_RETRY_POLICY_MAX_DELAY_SECONDS", 0.01, 604_800, 43_200), (s) => s * 1_000),
    backoffFactor: decimal("WEBHOOKS_RETRY_POLICY_BACKOFF_FACTOR", 1, 100, 6)
  }),
  dispatcher: Config.all({
    concurrency: integer("WEBHOOKS_DISPATCHER_CONCURRENCY", 1, 4_096, 1_024),
    concurrencyPerWebhook: integer("WEBHOOKS_DISPATCHER_CONCURRENCY_PER_WEBHOOK", 1, 1_024, 64),
    leaseSeconds: integer("WEBHOOKS_DISPATCHER_LEASE_SECONDS", 6, 300, 30),
    pollIntervalMs: integer("WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS", 50, 60_000, 1_000)
  }),
  autoDeactivation: Config.all({
    enabled: flag("WEBHOOKS_AUTO_DEACTIVATION_ENABLED", true),
    failureThreshold: integer("WEBHOOKS_AUTO_DEACTIVATION_FAILURE_THRESHOLD", 1, 1_000_000, 20),
    minFailingMinutes: integer("WEBHOOKS_AUTO_DEACTIVATION_MIN_FAILING_MINUTES", 0, 10_080, 15)
  }),
  healthCheckInterval: Config.map(integer("WEBHOOKS_HEALTH_CHECK_INTERVAL_MINUTES", 0, 10_080, 15), Duration.minutes),
  alerts: Config.all({
    // Below half a second nobody looks: `is_slow` of the webhooks.
    latencyMs: integer("WEBHOOKS_ALERTS_LATENCY_MS", 500, 20_000, 2_000),
    certificateDays: integer("WEBHOOKS_ALERTS_CERTIFICATE_DAYS", 0, 365, 14),
    secretDays: integer("WEBHOOKS_ALERTS_SECRET_DAYS", 0, 365, 7)
  }),
  mail,
  nameServers: list("WEBHOOKS_DNS_SERVERS", NameServer, []),
  url: Config.all({
    schemes: list("WEBHOOKS_ALLOWED_URL_SCHEMES", Schema.Literal("https", "http"), ["https"]),
    disallowed: list("WEBHOOKS_DISALLOWED_IP_RANGES_FOR_URL", AddressRangeFromString, []),
    allowed: list("WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL", AddressRangeFromString, [])
  })
})
export type AppConfig = Config.Config.Success<typeof AppConfig>
