/** Host names, in Punycode and without a final dot: which are well formed, and which are not of the public Internet. */

const hostLengthMax = 253
const labelLengthMax = 63
const label = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/

/** What is wrong with the name; null for nothing. The URL parser accepts `a..b`. */
export const malformedName = (host: string): string | null => {
  const labels = host.split(".")
  if (host.length > hostLengthMax) return `The URL's host is longer than ${hostLengthMax} characters.`
  if (labels.some((part) => part === "")) return "The URL's host has an empty part between two dots."
  if (labels.some((part) => part.length > labelLengthMax)) {
    return `A part of the URL's host is longer than ${labelLengthMax} characters.`
  }
  return labels.every((part) => label.test(part)) ? null : "The URL's host is not a host name."
}

/** Names for use inside a network, a machine or a cloud. Their addresses are judged as well, when they are dialled. */
const forbiddenSuffixes = [
  "cluster.local",
  "consul",
  "corp",
  "home",
  "home.arpa",
  "internal",
  "intranet",
  "lan",
  "local",
  "localdomain",
  "localhost",
  "onion",
  "private",
  "svc",
  "instance-data.com",
  "metadata.goog",
  "metadata.packet.net",
  "metadata.tencentyun.com"
]

export const forbiddenName = (host: string): boolean =>
  !host.includes(".") || forbiddenSuffixes.some((suffix) => host === suffix || host.endsWith(`.${suffix}`))
