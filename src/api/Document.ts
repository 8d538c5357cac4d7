/**
 * What the platform's OpenAPI document says otherwise than we answer: every failure is one Problem and nothing else, and
 * each operation lists those that it can have.
 */

type Node = Record<string, unknown>

const problem = { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } }

/** Schemas of the platform's own error answers, which are never given. */
const unused = new Set(["HttpApiDecodeError", "Issue", "PropertyKey"])

export const finish = (document: Node): Node => {
  const paths = mapValues(
    child(document, "paths"),
    (operations) => mapValues(operations, (operation, method) => finishOperation(operation, method))
  )
  const components = child(document, "components")
  const schemas = Object.fromEntries(
    Object.entries(child(components, "schemas")).filter(([name]) => !unused.has(name))
  )
  return { ...document, paths, components: { ...components, schemas } }
}

const finishOperation = (operation: Node, method: string): Node => ({
  ...operation,
  responses: Object.fromEntries(
    Object.entries(child(operation, "responses"))
      .filter(([status]) => Number(status) < 400 || isPossible(status, operation, method))
      .map(([status, response]) => [status, Number(status) < 400 ? response : failure(status)])
  )
})

/** The platform gives every operation what any of them can answer. */
const isPossible = (status: string, { security }: Node, method: string): boolean => {
  // Whoever asks for an operation has its method right.
  if (status === "405") return false
  if (Array.isArray(security) && security.length === 0) return ["400", "500", "503"].includes(status)
  return !ofBodies.has(status) || ["patch", "post", "put"].includes(method)
}

const ofBodies: ReadonlySet<string> = new Set(["408", "413", "415"])

const failure = (status: string): Node => ({
  description: titles[status] ?? "Failure",
  ...(status === "429" || status === "503" ? { headers: { "Retry-After": retryAfter } } : {}),
  content: problem
})

const retryAfter = {
  description: "Seconds after which to repeat the request.",
  required: true,
  schema: { type: "integer", minimum: 1 }
}

const titles: Record<string, string> = {
  "400": "The request is no HTTP/1.1, or its body no acceptable JSON",
  "401": "The API key is missing, unknown, expired or revoked",
  "403": "The key's role does not reach so far",
  "404": "There is no such thing, or it is another client's",
  "408": "The body did not come in time",
  "409": "The present state does not admit it",
  "413": "More bytes than the operator allows",
  "415": "The body is not application/json in UTF-8, or is compressed",
  "422": "A field is missing, unknown or not what it ought to be",
  "429": "This key asks too often (rate_limited), or the service is busy (overloaded): try again after Retry-After",
  "500": "A fault of the service",
  "503": "The database does not answer: try again after Retry-After"
}

const child = (node: Node, name: string): Node => {
  const value = node[name]
  return isNode(value) ? value : {}
}

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && !Array.isArray(value)

const mapValues = (node: Node, f: (value: Node, key: string) => Node): Node =>
  Object.fromEntries(Object.entries(node).map(([key, value]) => [key, isNode(value) ? f(value, key) : value]))
