/** URLs that lead where no delivery may go, each with what it leads to and the code that it is refused with. */
import { isIPv6 } from "node:net"
import { dottedOf, embeddings, numberOf, spellings } from "./AddressSpellings.ts"
import { forbiddenIPv4, forbiddenIPv6 } from "./ForbiddenAddresses.ts"

export interface ForbiddenTarget {
  readonly url: string
  /** The address, plainly written, where the URL spells one; else what is wrong with it. */
  readonly leadsTo: string
  readonly code: string
}

export interface Ports {
  /** Where somebody may listen, on any address of this machine. */
  readonly port: number
  /** The service's own. */
  readonly own: number
}

type Named = readonly [host: string, leadsTo: string]

const favourites = ["127.0.0.1", "169.254.169.254", "10.0.0.1", "192.168.1.1", "0.0.0.0"]

const ipv4Hosts: ReadonlyArray<Named> = [
  ...forbiddenIPv4.flat().map((address): Named => [address, address]),
  // Each range in some of the spellings, so that every spelling meets several ranges.
  ...forbiddenIPv4.flatMap((range, r) =>
    range.map((address, i): Named => [spellings[(r * 3 + i) % spellings.length]?.(numberOf(address)) ?? "", address])
  ),
  ...favourites.flatMap((address) => spellings.map((spell): Named => [spell(numberOf(address)), address])),
  ["127.0.0x.0x1", "127.0.0.1"],
  ["0", "0.0.0.0"],
  ["0x", "0.0.0.0"]
]

const ipv6Hosts: ReadonlyArray<Named> = [
  ...forbiddenIPv6.flatMap(([, ...addresses]) => addresses).map((address): Named => [`[${address}]`, address]),
  ...[...favourites, "192.0.2.2"].flatMap((address) =>
    Object.entries(embeddings).map(([carrier, embed]): Named => [
      `[${embed(numberOf(address))}]`,
      `${address} through ${carrier}`
    ])
  )
]

const loopbackNames = `
  localhost LOCALHOST localhost. LocalHost. local\u00adhost ｌｏｃａｌｈｏｓｔ ⓛⓞⓒⓐⓛⓗⓞⓢⓣ %6c%6f%63%61%6c%68%6f%73%74 localhost%2e
  localhost\u3002 a.localhost a.b.localhost. ⓐ。localhost localhost.localdomain localhost6 ip6-localhost ip6-loopback
  broadcasthost loopback`

const metadataNames = `
  metadata metadata.google.internal METADATA.GOOGLE.INTERNAL. metadata.goog instance-data instance-data.ec2.internal
  metadata.packet.net metadata.tencentyun.com rancher-metadata metadata%2egoogle%2einternal meta\u00addata.goog`

const internalNames = `
  db redis postgres intranet wpad kubernetes router.lan printer.local printer.local. db.internal nas.home nas.home.arpa
  ip-10-0-0-1.ec2.internal host.docker.internal gateway.docker.internal kubernetes.default.svc dc.corp wiki.intranet
  api.default.svc.cluster.local web.service.consul a.private a.onion ｄｂ．internal db\u3002internal d%62.internal`

const named = (names: string, leadsTo: string) => names.trim().split(/\s+/).map((name): Named => [name, leadsTo])

const names = [
  ...named(loopbackNames, "loopback by name"),
  ...named(metadataNames, "a cloud's metadata by name"),
  ...named(internalNames, "a name inside a network")
]

/** Parts of a URL that look like another's host. */
const disguises = ({ port }: Ports): ReadonlyArray<ForbiddenTarget> => {
  const inside = `127.0.0.1:${port}`
  const target = (code: string) => (url: string): ForbiddenTarget => ({ url, leadsTo: "loopback in disguise", code })
  return [
    ...[
      `http://hooks.test@${inside}/`,
      `http://hooks.test:443@${inside}/`,
      `http://hooks.test%2f@${inside}/`,
      `http://${inside}@hooks.test/`,
      `http://@${inside}/`,
      `http://:@${inside}/`,
      `http://a@b@${inside}/`,
      `http://hooks.test\uff0f@${inside}/`
    ].map(target("url_userinfo")),
    ...[
      `http://${inside}#@hooks.test/`,
      `http://${inside}?@hooks.test/`,
      `http://${inside}/@hooks.test/`,
      `http://${inside}/..//hooks.test/`,
      `HTTP://${inside}`
    ].map(target("url_forbidden_address")),
    ...[
      `http://hooks.test &@${inside}#`,
      `http://hooks.test\\@${inside}/`,
      `http://${inside}\\@hooks.test/`,
      `http:\\\\${inside}\\`,
      `http:${inside}/`,
      `http:/${inside}/`,
      `http:///${inside}/`,
      `http://\t${inside}/`,
      `http://127.0.\t0.1:${port}/`,
      `http://127.0.0.1\n:${port}/`,
      `http://127.0.0.1\r:${port}/`,
      `ht\ttp://${inside}/`,
      ` http://${inside}/`,
      `http://${inside}/ `,
      `http://${inside}/\u2028`,
      `http://127.0.0.1\u00a0:${port}/`,
      `http://127.0.0.1..:${port}/`,
      `http://localhost..:${port}/`,
      `http://127.0.0.1%00.hooks.test:${port}/`,
      `http://127.0.0.1%23.hooks.test:${port}/`,
      `http://127.0.0.1\uff0f.hooks.test:${port}/`,
      `http://256.0.0.1:${port}/`,
      `http://127.0.0.0.1:${port}/`,
      `http://0x100000000:${port}/`,
      `http://[127.0.0.1]:${port}/`,
      `http://[::1:${port}/`,
      ...["fe80::1%25eth0", "fe80::1%eth0", "::1%25lo", "::1%lo", "fe80::1%252", "v1.fe80::1"].map((zoned) =>
        `http://[${zoned}]:${port}/`
      )
    ].map(target("url_invalid"))
  ]
}

const schemes = ({ port }: Ports): ReadonlyArray<ForbiddenTarget> =>
  [
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    `ftp://127.0.0.1:${port}/`,
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:11211/stats",
    "ldap://127.0.0.1/",
    `ws://127.0.0.1:${port}/`,
    `blob:http://127.0.0.1:${port}/1`,
    `view-source:http://127.0.0.1:${port}/`,
    "data:text/plain,x",
    "javascript:fetch('http://127.0.0.1/')",
    `//127.0.0.1:${port}/`,
    `127.0.0.1:${port}/`
  ].map((url) => ({ url, leadsTo: "no HTTP", code: "url_scheme" }))

const refusedPorts = [0, 1, 21, 22, 23, 25, 53, 110, 143, 445, 465, 587, 1023, 1433, 2375, 2379, 2525, 3306, 3389, 5432]
  .concat([5900, 5984, 6000, 6379, 6443, 9042, 9092, 9200, 10250, 11211, 15672, 27017, 33060])

const ports = ({ port }: Ports): ReadonlyArray<ForbiddenTarget> => [
  ...refusedPorts.map((refused) => ({
    url: `http://hooks.test:${refused}/`,
    leadsTo: "a port of another protocol",
    code: "url_port"
  })),
  { url: `http://hooks.test:${port + 65_536}/`, leadsTo: "no port", code: "url_invalid" }
]

const self = ({ own }: Ports): ReadonlyArray<ForbiddenTarget> =>
  [
    ["127.0.0.1", "url_forbidden_address"],
    ["127.1", "url_forbidden_address"],
    ["[::ffff:127.0.0.1]", "url_forbidden_address"],
    ["localhost", "url_forbidden_host"],
    ["0", "url_forbidden_address"]
  ].map(([host, code = ""]) => ({ url: `http://${host}:${own}/api/events`, leadsTo: "this service itself", code }))

/** No two alike. */
export const forbiddenTargets = (given: Ports): ReadonlyArray<ForbiddenTarget> => {
  const on = (code: string) => ([host, leadsTo]: Named, i: number): ForbiddenTarget => ({
    url: `${i % 4 === 3 ? "https" : "http"}://${host}:${given.port}/hook`,
    leadsTo,
    code
  })
  const all = [
    ...[...ipv4Hosts, ...ipv6Hosts].map(on("url_forbidden_address")),
    ...names.map(on("url_forbidden_host")),
    ...disguises(given),
    ...schemes(given),
    ...ports(given),
    ...self(given)
  ]
  return Array.from(new Map(all.map((target) => [target.url, target])).values())
}

/** The addresses with which a name server may answer. */
export const forbiddenAnswers = {
  A: forbiddenIPv4.flat().concat("0.0.0.0"),
  AAAA: [
    ...forbiddenIPv6.flatMap(([, ...addresses]) => addresses).filter(isIPv6),
    ...Object.values(embeddings).map((embed) => embed(numberOf("127.0.0.1"))),
    ...Object.values(embeddings).map((embed) => embed(numberOf(dottedOf(0xa9fea9fe))))
  ]
}
