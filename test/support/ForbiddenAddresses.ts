/** The ranges that no delivery may reach: what IANA's special-purpose registries list, and what belongs to clouds. */

/** First, last, and one between. */
export const forbiddenIPv4: ReadonlyArray<readonly [first: string, last: string, inside: string]> = [
  ["0.0.0.0", "0.255.255.255", "0.0.0.1"],
  ["10.0.0.0", "10.255.255.255", "10.0.0.1"],
  ["100.64.0.0", "100.127.255.255", "100.100.100.200"],
  ["127.0.0.0", "127.255.255.255", "127.0.0.1"],
  ["168.63.129.16", "168.63.129.16", "168.63.129.16"],
  ["169.254.0.0", "169.254.255.255", "169.254.169.254"],
  ["172.16.0.0", "172.31.255.255", "172.17.0.1"],
  ["192.0.0.0", "192.0.0.255", "192.0.0.192"],
  ["192.0.2.0", "192.0.2.255", "192.0.2.2"],
  ["192.31.196.0", "192.31.196.255", "192.31.196.1"],
  ["192.52.193.0", "192.52.193.255", "192.52.193.1"],
  ["192.88.99.0", "192.88.99.255", "192.88.99.1"],
  ["192.168.0.0", "192.168.255.255", "192.168.1.1"],
  ["192.175.48.0", "192.175.48.255", "192.175.48.1"],
  ["198.18.0.0", "198.19.255.255", "198.18.0.1"],
  ["198.51.100.0", "198.51.100.255", "198.51.100.7"],
  ["203.0.113.0", "203.0.113.255", "203.0.113.7"],
  ["224.0.0.0", "239.255.255.255", "239.255.255.250"],
  ["240.0.0.0", "255.255.255.255", "250.1.2.3"]
]

const ones = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
const last = (prefix: string) => `${prefix}${ones.slice(ones.length - (39 - prefix.length))}`

export const forbiddenIPv6: ReadonlyArray<readonly [what: string, ...addresses: ReadonlyArray<string>]> = [
  ["unspecified", "::"],
  ["loopback", "::1", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001"],
  ["unallocated", "::2", "1::1", "200::1", "1fff::1", "4000::1", "8000::1", "e000::1", "fe00::1"],
  ["discard only", "100::", "100::ffff:ffff:ffff:ffff", "100::1", "100:0:0:1::1"],
  ["IETF protocol assignments", "2001::", last("2001:01ff:"), "2001:1::1", "2001:1::2", "2001:1::3"],
  ["benchmarking", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff"],
  ["AMT", "2001:3::1"],
  ["AS112", "2001:4:112::1", "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"],
  ["ORCHID", "2001:10::1", "2001:20::1", "2001:2f::1"],
  ["drone remote identification", "2001:30::1"],
  ["documentation", "2001:db8::", last("2001:0db8:"), "2001:db8::7", "3fff::", last("3fff:0fff:")],
  ["6to4", "2002::", last("2002:"), "2002::1"],
  ["segment routing", "5f00::", last("5f00:"), "5f00::1"],
  ["unique local", "fc00::", last("fdff:"), "fd00::2", "fd12:3456:789a:1::1", "FD00:EC2::254", "fd20:ce::254"],
  ["link local", "fe80::", last("febf:"), "fe80::1", "fe80::a9fe:a9fe"],
  ["site local", "fec0::", last("feff:"), "fec0::1"],
  ["multicast", "ff00::", ones, "ff02::1", "ff05::2", "ff0e::1"]
]
