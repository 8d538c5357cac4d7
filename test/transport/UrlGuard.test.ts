import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, FastCheck as fc, Layer } from "effect"
import { AddressPolicy, listeningOn, make as makePolicy } from "../../src/transport/AddressPolicy.ts"
import { parseRange } from "../../src/transport/AddressRange.ts"
import { type GuardedUrl, UrlGuard, type UrlGuardOptions, type UrlRejected } from "../../src/transport/UrlGuard.ts"

interface Settings extends Partial<UrlGuardOptions> {
  readonly allowed?: ReadonlyArray<string>
  readonly own?: readonly [string, number]
}

const check = (
  raw: string,
  { allowed = [], own, ...options }: Settings = {}
): Either.Either<GuardedUrl, UrlRejected> => {
  const policy = Layer.succeed(
    AddressPolicy,
    makePolicy({
      allowed: allowed.map((text) => Either.getOrThrow(parseRange(text))),
      disallowed: own === undefined ? [] : listeningOn(...own)
    })
  )
  const guard = UrlGuard.layer({ schemes: ["https", "http"], ownHosts: [], ...options })
  return Effect.runSync(
    Effect.map(UrlGuard, (urls) => urls.check(raw)).pipe(Effect.provide(guard.pipe(Layer.provide(policy))))
  )
}

const codeOf = (raw: string, settings: Settings = {}): string =>
  Either.match(check(raw, settings), { onLeft: ({ code }) => code, onRight: ({ url }) => url.href })

describe("UrlGuard", () => {
  it("accepts public HTTPS URLs and stores them normalised", () => {
    assert.strictEqual(codeOf("https://hooks.example.com/a?b=c"), "https://hooks.example.com/a?b=c")
    assert.strictEqual(codeOf("HTTPS://Hooks.Example.COM:443/A"), "https://hooks.example.com/A")
    assert.strictEqual(codeOf("https://hooks.example.com./"), "https://hooks.example.com/")
    assert.strictEqual(codeOf("https://1.1.1.1:8443/"), "https://1.1.1.1:8443/")
    assert.strictEqual(codeOf("https://[2606:4700::1111]/"), "https://[2606:4700::1111]/")
    assert.strictEqual(codeOf("https://hooks.example.com/a#secret"), "https://hooks.example.com/a")
  })

  it("A1 refuses every scheme but the allowed ones", () => {
    const others = ["ftp://e.com/", "file:///etc/passwd", "gopher://e.com/", "data:text/html,x", "javascript:alert(1)"]
    for (const raw of [...others, "blob:https://e.com/1", "example.com/hook", "//e.com/", "ws://e.com/", ""]) {
      assert.strictEqual(codeOf(raw), "url_scheme", raw)
    }
    assert.strictEqual(codeOf("http://e.com/", { schemes: ["https"] }), "url_scheme")
  })

  it("A2 sees through every spelling of an IPv4 address", () => {
    const spellings = [
      "2130706433",
      "0x7f.1",
      "0177.0.0.1",
      "127.1",
      "%31%32%37.0.0.1",
      "①②⑦.⓪.⓪.①",
      "127。0。0。1",
      "127.0.0.1.",
      "0x7f000001",
      "017700000001",
      "127.0.1"
    ]
    for (const host of spellings) assert.strictEqual(codeOf(`http://${host}/`), "url_forbidden_address", host)
  })

  it.prop("A2 refuses a private IPv4 address in every number base", [
    fc.constantFrom(0x0a000001, 0x7f000001, 0xa9fea9fe, 0xac100001, 0xc0a80101, 0x64646464),
    fc.constantFrom(8, 10, 16),
    fc.integer({ min: 0, max: 3 })
  ], ([value, base, dots]) => {
    const write = (number: number) => `${{ 8: "0", 16: "0x" }[base] ?? ""}${number.toString(base)}`
    const leading = Array.from({ length: dots }, (_, i) => (value >>> (24 - 8 * i)) & 0xff)
    const rest = dots === 0 ? value : value & (2 ** (32 - 8 * dots) - 1)
    assert.strictEqual(codeOf(`http://${[...leading, rest].map(write).join(".")}/`), "url_forbidden_address")
  })

  it("A3 refuses names that are not of the public Internet", () => {
    const names = [
      "localhost",
      "localhost.",
      "LOCALHOST",
      "a.localhost",
      "db.internal",
      "metadata.google.internal",
      "printer.local",
      "intranet",
      "router.lan",
      "nas.home.arpa",
      "api.default.svc.cluster.local",
      "metadata.goog"
    ]
    for (const host of names) assert.strictEqual(codeOf(`https://${host}/`), "url_forbidden_host", host)
    assert.strictEqual(codeOf("https://notlocalhost.com/"), "https://notlocalhost.com/")
    assert.strictEqual(codeOf("https://mylocal.dev/"), "https://mylocal.dev/")
  })

  it("A4 refuses IPv6 addresses that are forbidden or lead into IPv4", () => {
    const addresses = [
      "::1",
      "::ffff:7f00:1",
      "::ffff:127.0.0.1",
      "::7f00:1",
      "64:ff9b::7f00:1",
      "64:ff9b:1::7f00:1",
      "2002:7f00:1::",
      "2001:0:4136:e378:8000:63bf:3fff:fdd2",
      "fec0::1",
      "fd00:ec2::254",
      "fe80::1"
    ]
    for (const ip of addresses) assert.strictEqual(codeOf(`https://[${ip}]/`), "url_forbidden_address", ip)
    assert.strictEqual(codeOf("https://[fe80::1%25eth0]/"), "url_invalid")
    assert.strictEqual(codeOf("https://[fe80::1%eth0]/"), "url_invalid")
  })

  it("A5 refuses user names and passwords", () => {
    const urls = [
      "http://u@e.com/",
      "http://u:p@e.com/",
      "http://@e.com/",
      "http://:@e.com/",
      "http://1.1.1.1&@2.2.2.2#"
    ]
    for (const raw of urls) assert.strictEqual(codeOf(raw), "url_userinfo", raw)
    assert.strictEqual(codeOf("http://1.1.1.1 &@2.2.2.2#"), "url_invalid")
    assert.strictEqual(codeOf("https://e.com/@me?a=@"), "https://e.com/@me?a=@")
  })

  it("A6 refuses what the parser would rewrite without a word", () => {
    const raws = [
      "https://e.com/a\tb",
      "https://e.com/a\rb",
      "https://e.com/a\nb",
      " https://e.com/",
      "https://e.com/ ",
      "https://e.com\\@evil.com/",
      "https://e.com/\u0000",
      "https://e.com/\u00a0",
      "https://e.com/\u2028",
      "ht\ntps://e.com/"
    ]
    for (const raw of raws) assert.strictEqual(codeOf(raw), "url_invalid", JSON.stringify(raw))
    for (const raw of ["https:e.com/", "https:/e.com/", "https:///e.com/", "https://", "https://?a"]) {
      assert.strictEqual(codeOf(raw), "url_invalid", raw)
    }
  })

  it("A7 refuses ports off the list", () => {
    for (const port of [0, 1, 22, 25, 79, 81, 444, 1023, 2375, 2525, 3306, 5432, 6379, 9200, 11211, 27017]) {
      assert.strictEqual(codeOf(`http://e.com:${port}/`), "url_port", `${port}`)
    }
    for (const port of [1024, 3000, 8080, 8443, 9000, 65535]) {
      assert.strictEqual(codeOf(`http://e.com:${port}/`), `http://e.com:${port}/`)
    }
    assert.strictEqual(codeOf("http://e.com:65536/"), "url_invalid")
  })

  it("A8 stores international names in Punycode, shows both, and notes mixed alphabets", () => {
    const plain = Either.getOrThrow(check("https://bücher.example/"))
    assert.strictEqual(plain.url.hostname, "xn--bcher-kva.example")
    assert.strictEqual(plain.unicodeHost, "bücher.example")
    assert.isFalse(plain.mixedScripts)
    assert.isTrue(Either.getOrThrow(check("https://p\u0430ypal.com/")).mixedScripts)
    for (
      const host of ["日本語テスト.jp", "ひらがなabc.jp", "пример.рф", "한국abc.kr", "münchen-2.de", "e.com", "1.1.1.1"]
    ) {
      assert.isFalse(Either.getOrThrow(check(`https://${host}/`)).mixedScripts, host)
    }
  })

  it("A9 refuses what is too long or has an empty label", () => {
    const label = "a".repeat(63)
    assert.strictEqual(codeOf(`https://e.com/${"a".repeat(2_035)}`), "url_invalid")
    assert.isTrue(Either.isRight(check(`https://e.com/${"a".repeat(2_034)}`)))
    assert.strictEqual(codeOf(`https://e.com/${"é".repeat(500)}`), "url_invalid")
    assert.strictEqual(codeOf(`https://${label}a.com/`), "url_invalid")
    assert.isTrue(Either.isRight(check(`https://${label}.com/`)))
    assert.strictEqual(codeOf(`https://${[label, label, label, label].join(".")}.com/`), "url_invalid")
    for (const host of ["a..b", ".a.b", "a.b..", "1.1.1.1..", "-a.com", "a-.com", "a!b.com"]) {
      assert.strictEqual(codeOf(`https://${host}/`), "url_invalid", host)
    }
  })

  it("A13 refuses this service's own addresses", () => {
    const settings = { ownHosts: ["hub.example.com", "api.example.com:8443"] }
    assert.strictEqual(codeOf("https://hub.example.com/x", settings), "url_forbidden_host")
    assert.strictEqual(codeOf("https://hub.example.com:8080/x", settings), "url_forbidden_host")
    assert.strictEqual(codeOf("https://api.example.com:8443/x", settings), "url_forbidden_host")
    assert.strictEqual(codeOf("https://api.example.com/x", settings), "https://api.example.com/x")
    const local = { allowed: ["127.0.0.0/8", "::1/128"], own: ["127.0.0.1", 4400] as const }
    assert.strictEqual(codeOf("http://127.0.0.1:4400/", local), "url_forbidden_address")
    assert.strictEqual(codeOf("http://localhost:4400/", local), "url_forbidden_host")
    assert.strictEqual(codeOf("http://localhost:4401/", local), "http://localhost:4401/")
  })

  it("lets an operator's exception through, for its port only", () => {
    const settings = { allowed: ["127.0.0.1/32:9000", "10.0.0.0/8", "10.0.0.5/32:5432"] }
    assert.strictEqual(codeOf("http://127.0.0.1:9000/", settings), "http://127.0.0.1:9000/")
    assert.strictEqual(codeOf("http://localhost:9000/", settings), "http://localhost:9000/")
    assert.strictEqual(codeOf("http://localhost.:9000/", settings), "http://localhost:9000/")
    assert.strictEqual(codeOf("http://127.0.0.1:9001/", settings), "url_forbidden_address")
    assert.strictEqual(codeOf("http://localhost:9001/", settings), "url_forbidden_host")
    assert.strictEqual(codeOf("http://a.localhost:9000/", settings), "url_forbidden_host")
    assert.strictEqual(codeOf("http://10.0.0.5:5432/", settings), "http://10.0.0.5:5432/")
    assert.strictEqual(codeOf("http://10.0.0.6:5432/", settings), "url_port")
    assert.strictEqual(codeOf("http://e.com:5432/", settings), "url_port")
  })

  it.prop("never throws, and what it accepts it accepts again unchanged", [
    fc.oneof(fc.string(), fc.webUrl(), fc.webUrl({ withFragments: true, withQueryParameters: true }))
  ], ([raw]) => {
    const first = check(raw)
    if (Either.isLeft(first)) return
    assert.strictEqual(codeOf(first.right.url.href), first.right.url.href)
    assert.strictEqual(first.right.url.hash, "")
  }, { fastCheck: { numRuns: 300 } })
})
