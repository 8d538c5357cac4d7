/** Certificates made on the spot: an authority of the test's own and what it signs. */
import { Clock, Effect } from "effect"
import { generate } from "selfsigned"

export interface KeyPair {
  readonly key: string
  readonly cert: string
}

export interface CertificateOptions {
  /** Host names and IP addresses. */
  readonly names: ReadonlyArray<string>
  /** From when to when it is valid, in days from now. */
  readonly days?: readonly [number, number]
}

const dayMs = 86_400_000

const make = (
  names: ReadonlyArray<string>,
  [from, to]: readonly [number, number],
  signer?: KeyPair,
  isAuthority = false
) =>
  Effect.gen(function*() {
    // The sockets under test go by the real clock.
    const now = yield* Effect.withClock(Clock.currentTimeMillis, Clock.make())
    const pems = yield* Effect.promise(() =>
      generate([{ name: "commonName", value: names[0] ?? "test" }], {
        keyType: "ec",
        algorithm: "sha256",
        notBeforeDate: new Date(now + from * dayMs),
        notAfterDate: new Date(now + to * dayMs),
        extensions: [
          { name: "basicConstraints", cA: isAuthority, critical: true },
          {
            name: "subjectAltName",
            altNames: names.map((name) => /^[\d.]+$/.test(name) ? { type: 7, ip: name } : { type: 2, value: name })
          }
        ],
        ...(signer === undefined ? {} : { ca: { key: signer.key, cert: signer.cert } })
      })
    )
    return { key: pems.private, cert: pems.cert } satisfies KeyPair
  })

export const authority: Effect.Effect<KeyPair> = make(["Test authority"], [-1, 30], undefined, true)

export const signedBy = (signer: KeyPair, { days = [-1, 30], names }: CertificateOptions): Effect.Effect<KeyPair> =>
  make(names, days, signer)

export const selfSigned = ({ days = [-1, 30], names }: CertificateOptions): Effect.Effect<KeyPair> => make(names, days)
