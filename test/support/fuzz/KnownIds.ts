/** Ids that answers have told of: to ask for what is there, what was there, and what is another tenant's. */
import type { Answer } from "../ApiTest.ts"
import type { IdReference } from "./JsonText.ts"

/** Of whom an id is; null where nobody said. */
export type Owner = string | null

export interface KnownIds {
  /** Takes in what was answered to somebody of this client; null for an operator. */
  readonly learn: (answer: Answer, asked: { readonly collection: string; readonly client: Owner }) => void
  /** The id named last in this path is not there any more. */
  readonly forget: (path: string) => void
  /** An id for somebody of this client. */
  readonly resolve: (reference: IdReference, client: Owner) => string
  readonly ownerOf: (id: string) => Owner
}

const typeId = /^([a-z]+)_[0-7][0-9a-hjkmnp-tv-z]{25}$/

/** The latest of a kind that are kept for each owner: what is older is less likely to be there still. */
const keptMax = 40

/** @param isOff whether the tests themselves live on it, so that nobody is to ask for its end */
export const make = (clients: ReadonlyArray<string>, isOff: (id: string) => boolean): KnownIds => {
  const kept = new Map<string, Map<Owner, Array<string>>>()
  const gone = new Map<string, Array<string>>()
  const owners = new Map<string, Owner>()

  const keep = (of: string, owner: Owner, id: string) => {
    const byOwner = kept.get(of) ?? new Map<Owner, Array<string>>()
    const ids = byOwner.get(owner) ?? []
    if (ids.includes(id)) return
    ids.push(id)
    if (ids.length > keptMax) ids.shift()
    kept.set(of, byOwner.set(owner, ids))
  }

  const take = (value: unknown, owner: Owner): void => {
    if (typeof value === "string") {
      const of = typeId.exec(value)?.[1]
      if (of === undefined || isOff(value)) return
      if (!owners.has(value)) owners.set(value, owner)
      keep(of, owner, value)
    } else if (typeof value === "object" && value !== null) {
      const own = "client_id" in value && typeof value.client_id === "string" ? value.client_id : owner
      for (const child of Object.values(value)) take(child, own)
    }
  }

  /** Rows of a collection are asked for by their `id`, or by their `name`. */
  const takeRow = (collection: string, row: unknown): void => {
    if (typeof row !== "object" || row === null) return
    const id = "id" in row ? row.id : "name" in row ? row.name : undefined
    if (typeof id === "string" && !typeId.test(id)) keep(collection, null, id)
  }

  const all = (of: string): ReadonlyArray<string> => Array.from((kept.get(of) ?? new Map()).values()).flat()

  for (const client of clients) keep("clients", client, client)

  return {
    learn: ({ json, status }, { client, collection }) => {
      if (status >= 300 || typeof json !== "object" || json === null) return
      take(json, client)
      for (const row of Array.isArray(json.data) ? json.data : [json]) takeRow(collection, row)
      if (typeof json.page?.next_cursor === "string") keep("cursors", client, json.page.next_cursor)
    },
    forget: (path) => {
      const id = decodeURIComponent(path.split("?", 1)[0]?.split("/").at(-1) ?? "")
      for (const [of, byOwner] of kept) {
        for (const [owner, ids] of byOwner) {
          if (!ids.includes(id)) continue
          byOwner.set(owner, ids.filter((known) => known !== id))
          gone.set(of, [...(gone.get(of) ?? []).slice(-keptMax), id])
        }
      }
    },
    resolve: ({ nth, of, whose }, client) => {
      const own = client === null || of === "event-types" ? all(of) : kept.get(of)?.get(client) ?? []
      const ids = { own, all: all(of), gone: gone.get(of) ?? [], unknown: [] }[whose]
      return ids[nth % Math.max(ids.length, 1)] ?? unknown(of, nth)
    },
    ownerOf: (id) => owners.get(id) ?? null
  }
}

const unknown = (of: string, nth: number): string =>
  /^[a-z]{3}$/.test(of) ? `${of}_01jmh2v3s8e5xt6dq4t9v0r1kz` : `no-such-${nth}`
