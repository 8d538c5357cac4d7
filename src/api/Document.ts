/** What the platform's OpenAPI document says otherwise than we answer: every failure is one Problem, and nothing else. */

type Node = Record<string, unknown>

const problem = { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } }

/** Schemas of the platform's own error answers, which are never given. */
const unused = new Set(["HttpApiDecodeError", "Issue", "PropertyKey"])

export const finish = (document: Node): Node => {
  const paths = mapValues(child(document, "paths"), (operations) => mapValues(operations, finishOperation))
  const components = child(document, "components")
  const schemas = Object.fromEntries(
    Object.entries(child(components, "schemas")).filter(([name]) => !unused.has(name))
  )
  return { ...document, paths, components: { ...components, schemas } }
}

const finishOperation = (operation: Node): Node => ({
  ...operation,
  responses: Object.fromEntries(
    Object.entries(child(operation, "responses")).map(([status, response]) =>
      Number(status) < 400
        ? [status, response]
        : [status, { description: titles[status] ?? "Failure", content: problem }]
    )
  )
})

const titles: Record<string, string> = {
  "400": "The body is not acceptable JSON",
  "401": "The API key is missing, unknown, expired or revoked",
  "403": "The key's role does not reach so far",
  "404": "There is no such thing, or it is another client's",
  "409": "The present state does not admit it",
  "413": "More bytes than the operator allows",
  "415": "The body is not application/json, or is compressed",
  "422": "A field is missing, unknown or not what it ought to be",
  "500": "A fault of the service",
  "503": "The database does not answer: try again after Retry-After"
}

const child = (node: Node, name: string): Node => {
  const value = node[name]
  return isNode(value) ? value : {}
}

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && !Array.isArray(value)

const mapValues = (node: Node, f: (value: Node) => Node): Node =>
  Object.fromEntries(Object.entries(node).map(([key, value]) => [key, isNode(value) ? f(value) : value]))
