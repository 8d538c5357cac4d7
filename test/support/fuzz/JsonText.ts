/**
 * JSON as a tree of texts: it holds what a value of JavaScript cannot, such as `1e400`, a repeated key or half a
 * surrogate pair, and ids that are known only when the request is sent.
 */

/** An id that is looked up when it is needed; see KnownIds. */
export interface IdReference {
  readonly kind: "id"
  /** The TypeID's prefix (`whk`), or the collection whose rows have it (`clients`). */
  readonly of: string
  readonly whose: "own" | "all" | "gone" | "unknown"
  readonly nth: number
}

export type JsonText =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "array"; readonly items: ReadonlyArray<JsonText> }
  | { readonly kind: "object"; readonly members: ReadonlyArray<readonly [string, JsonText]> }
  | IdReference

export const text = (text: string): JsonText => ({ kind: "text", text })

export const scalar = (value: boolean | number | string | null): JsonText => text(JSON.stringify(value))

export const array = (items: ReadonlyArray<JsonText>): JsonText => ({ kind: "array", items })

export const object = (members: ReadonlyArray<readonly [string, JsonText]>): JsonText => ({ kind: "object", members })

export const write = (node: JsonText, resolve: (reference: IdReference) => string): string => {
  switch (node.kind) {
    case "text":
      return node.text
    case "id":
      return JSON.stringify(resolve(node))
    case "array":
      return `[${node.items.map((item) => write(item, resolve)).join()}]`
    case "object":
      return `{${node.members.map(([key, value]) => `${JSON.stringify(key)}:${write(value, resolve)}`).join()}}`
  }
}

/** How many places there are in it: itself, and those of what it holds. */
export const places = (node: JsonText): number => children(node).reduce((sum, child) => sum + places(child), 1)

/** The tree with another one in the place of that number, counted from 0 for the root. */
export const replaceAt = (node: JsonText, place: number, replace: (node: JsonText) => JsonText): JsonText => {
  if (place === 0) return replace(node)
  let before = 1
  const inside = (child: JsonText): JsonText => {
    const own = place - before
    const size = places(child)
    before += size
    return own >= 0 && own < size ? replaceAt(child, own, replace) : child
  }
  if (node.kind === "array") return array(node.items.map(inside))
  if (node.kind === "object") return object(node.members.map(([key, value]) => [key, inside(value)]))
  return node
}

const children = (node: JsonText): ReadonlyArray<JsonText> => {
  if (node.kind === "array") return node.items
  return node.kind === "object" ? node.members.map(([, value]) => value) : []
}
