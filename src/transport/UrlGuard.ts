/**
 * Whether a webhook may have this URL: asked when it is registered, when it is changed and before it is used. It sends
 * no packet, so a name passes whose addresses are forbidden; `Connector` judges those when it dials.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { isIP } from "node:net"
import { domainToUnicode } from "node:url"
import { AddressPolicy, Verdict } from "./AddressPolicy.ts"
import { forbiddenName, malformedName } from "./HostName.ts"
import { hasMixedScripts } from "./MixedScript.ts"

const UrlProblem = Schema.Literal(
  "url_scheme",
  "url_forbidden_address",
  "url_forbidden_host",
  "url_userinfo",
  "url_port",
  "url_invalid"
)
type UrlProblem = typeof UrlProblem.Type

export class UrlRejected extends Schema.TaggedError<UrlRejected>()("UrlRejected", {
  code: UrlProblem,
  /** One sentence for the webhook's owner. */
  message: Schema.String
}) {}

export interface GuardedUrl {
  /** Normalised, an international host name in Punycode, without a fragment: `url.href` is what to store. */
  readonly url: URL
  /** The host as people write it. */
  readonly unicodeHost: string
  /** The host mixes alphabets within a word, as look-alikes of well-known names do. */
  readonly mixedScripts: boolean
}

export interface UrlGuardOptions {
  readonly schemes: ReadonlyArray<"https" | "http">
  /** `host` or `host:port` under which this service is reached: a webhook there would call itself. */
  readonly ownHosts: ReadonlyArray<string>
}

const urlLengthMax = 2_048

export class UrlGuard extends Context.Tag("deeper-hub-webhooks/transport/UrlGuard")<UrlGuard, {
  readonly check: (raw: string) => Either.Either<GuardedUrl, UrlRejected>
}>() {
  static readonly layer = (
    options: UrlGuardOptions = { schemes: ["https"], ownHosts: [] }
  ): Layer.Layer<UrlGuard, never, AddressPolicy> =>
    Layer.effect(
      this,
      Effect.map(AddressPolicy, (policy) => UrlGuard.of({ check: remembering(check(policy, options)) }))
    )
}

type Policy = Context.Tag.Service<AddressPolicy>

/** Every attempt asks, and the verdict on a text is the same for as long as the process lives: policy is a setting. */
const rememberedMax = 10_000

const remembering = (check: UrlGuard["Type"]["check"]): UrlGuard["Type"]["check"] => {
  const verdicts = new Map<string, ReturnType<typeof check>>()
  return (raw) => {
    const known = verdicts.get(raw)
    if (known !== undefined) return known
    const verdict = check(raw)
    if (verdicts.size >= rememberedMax) verdicts.clear()
    if (raw.length <= urlLengthMax) verdicts.set(raw, verdict)
    return verdict
  }
}

const check = (policy: Policy, options: UrlGuardOptions) => (raw: string): Either.Either<GuardedUrl, UrlRejected> =>
  Either.gen(function*() {
    const url = yield* parse(raw, options.schemes)
    const host = unbracketed(url.hostname)
    const exceptionHasPort = isIP(host) === 0
      ? yield* checkName(policy, url, host)
      : yield* checkAddress(policy, url, host)
    if (!exceptionHasPort && !isUsualPort(portOf(url))) {
      return yield* rejected("url_port", `Port ${portOf(url)} is not one that webhooks may use; use 443.`)
    }
    if (options.ownHosts.some((own) => isSame(own.toLowerCase(), url))) {
      return yield* rejected(
        "url_forbidden_host",
        "The URL is this service's own address; a webhook there would call itself."
      )
    }
    const unicodeHost = domainToUnicode(url.hostname) || url.hostname
    return { url, unicodeHost, mixedScripts: hasMixedScripts(unicodeHost) }
  })

const isSame = (own: string, url: URL): boolean => own === url.hostname || own === `${url.hostname}:${portOf(url)}`

const rejected = (code: UrlProblem, message: string) => Either.left(new UrlRejected({ code, message }))

/** What the WHATWG parser strips or rewrites without a word: it would make of the text another URL than was read. */
const silentlyRewritten = /[\u0000-\u0020\u007f-\u00a0\\\s]/u

const parse = (raw: string, schemes: UrlGuardOptions["schemes"]): Either.Either<URL, UrlRejected> =>
  Either.gen(function*() {
    if (raw.length > urlLengthMax) {
      return yield* rejected("url_invalid", `The URL is longer than ${urlLengthMax} characters.`)
    }
    if (silentlyRewritten.test(raw)) {
      return yield* rejected("url_invalid", "The URL holds a space, a control character or a backslash.")
    }
    const [, scheme, rest = ""] = /^([a-z][a-z0-9+.-]*):(.*)$/i.exec(raw) ?? []
    if (!schemes.some((allowed) => allowed === scheme?.toLowerCase())) {
      return yield* rejected(
        "url_scheme",
        `The URL must begin with ${schemes.map((name) => `${name}://`).join(" or ")}.`
      )
    }
    const [, authority] = /^\/\/([^/?#]+)/.exec(rest) ?? []
    if (authority === undefined || !URL.canParse(raw)) return yield* rejected("url_invalid", "This is not a URL.")
    if (authority.includes("@")) {
      return yield* rejected("url_userinfo", "The URL holds a user name or password; send credentials in a header.")
    }
    const url = new URL(raw)
    // Without one of its dots `1.1.1.1..`, a name, would become an address.
    if (url.hostname.endsWith("..")) return yield* rejected("url_invalid", "The URL's host ends in an empty part.")
    // A fragment is never sent, and the dot that ends a full name is not part of a certificate's name.
    url.hash = ""
    url.hostname = url.hostname.replace(/\.$/, "")
    if (url.href.length > urlLengthMax) {
      return yield* rejected("url_invalid", `The URL is longer than ${urlLengthMax} characters once it is encoded.`)
    }
    return url
  })

/** Right says whether an exception of the operator opens this very port. */
const checkAddress = (policy: Policy, url: URL, ip: string): Either.Either<boolean, UrlRejected> =>
  Verdict.$match(policy.check(ip, portOf(url)), {
    Allowed: ({ exception }) => Either.right(exception !== null && exception.port !== null),
    Forbidden: ({ why }) =>
      rejected("url_forbidden_address", `The URL's address is one that deliveries may not reach (${why}).`)
  })

const checkName = (policy: Policy, url: URL, host: string): Either.Either<boolean, UrlRejected> => {
  if (host === "localhost") {
    const open = ["127.0.0.1", "::1"].map((ip) => checkAddress(policy, url, ip)).filter(Either.isRight)
    return open.length === 0 ? forbiddenHost : Either.right(open.some(({ right }) => right))
  }
  const malformed = malformedName(host)
  if (malformed !== null) return rejected("url_invalid", malformed)
  return forbiddenName(host) ? forbiddenHost : Either.right(false)
}

const forbiddenHost = rejected("url_forbidden_host", "The URL's host is a name inside a network, not a public one.")

const unbracketed = (hostname: string): string => hostname.startsWith("[") ? hostname.slice(1, -1) : hostname

const portOf = (url: URL): number => url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port)

/**
 * Ports of databases, brokers, mail and administration, whose protocols an HTTP request can be made to speak: Docker
 * 2375 2376 · etcd 2379 2380 · SMTP 2525 · MySQL 3306 33060 · SQL Server 1433 · Oracle 1521 · MQTT 1883 · NFS 2049 ·
 * ZooKeeper 2181 · RDP 3389 · Erlang 4369 · PostgreSQL 5432 · PgBouncer 6432 · AMQP 5672 · VNC 5900 · CouchDB 5984 ·
 * WinRM 5985 5986 · X11 6000 · Redis 6379 26379 · Kubernetes 6443 10250 10255 · IRC 6667 · Cassandra 9042 · Kafka 9092 ·
 * Elasticsearch 9200 9300 · memcached 11211 · RabbitMQ 15672 · MongoDB 27017 27018 27019
 */
const refusedPorts = new Set([
  1433,
  1521,
  1883,
  2049,
  2181,
  2375,
  2376,
  2379,
  2380,
  2525,
  3306,
  3389,
  4369,
  5432,
  5672,
  5900,
  5984,
  5985,
  5986,
  6000,
  6379,
  6432,
  6443,
  6667,
  9042,
  9092,
  9200,
  9300,
  10250,
  10255,
  11211,
  15672,
  26379,
  27017,
  27018,
  27019,
  33060
])

const isUsualPort = (port: number): boolean =>
  port === 443 || port === 80 || (port >= 1024 && port <= 65535 && !refusedPorts.has(port))
