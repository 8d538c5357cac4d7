/** Several nodes on one database, and a publisher that asks them in turn, whether they are up or not. */
import { Effect } from "effect"
import type { Running } from "../support/Service.ts"
import * as Node from "./Node.ts"

export const start = (
  place: Node.Place,
  names: readonly [string, ...Array<string>],
  own: (name: string) => Node.Own = () => ({})
) =>
  Effect.gen(function*() {
    // One after the other: the first to come makes the keys that they share.
    const started = yield* Effect.forEach(names, (name) => Node.start(place, name, own(name)))
    const nodes = new Map(names.map((name, i): [string, Running | undefined] => [name, started[i]]))
    let turns = 0

    const get = (name: string): Running => {
      const node = nodes.get(name)
      if (node === undefined) throw new Error(`there is no node ${name}`)
      return node
    }
    return {
      get,
      all: () => names.map(get),
      any: get(names[0]),
      next: Effect.sync(() => get(names[turns++ % names.length] ?? names[0])),
      /** Starts it anew in the place of the one that ended. */
      restart: (name: string, changed = own(name)) =>
        Effect.map(Node.start(place, name, changed), (node) => void nodes.set(name, node))
    }
  })
