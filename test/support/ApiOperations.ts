/** Every operation of the contract, with a body that it accepts, what it then answers, and whose keys may ask for it. */
import type { Role } from "../../src/domain/Client.ts"

export interface Operation {
  readonly roles: ReadonlyArray<Role>
  readonly status: number
  readonly body?: Readonly<Record<string, unknown>>
}

const operate: ReadonlyArray<Role> = ["operator"]
const publish: ReadonlyArray<Role> = ["operator", "client", "publisher"]
const read: ReadonlyArray<Role> = ["operator", "client", "viewer"]
const write: ReadonlyArray<Role> = ["operator", "client"]

const event = { event_type: "deal.won", payload: { id: 1 } }

/** By method and path as the document has them. */
export const operations: Readonly<Record<string, Operation>> = {
  "POST /api/webhooks": {
    roles: write,
    status: 201,
    body: { url: "https://example.com/hook", events: ["deal.won"] }
  },
  "GET /api/webhooks": { roles: read, status: 200 },
  "GET /api/webhooks/{id}": { roles: read, status: 200 },
  "PATCH /api/webhooks/{id}": { roles: write, status: 200, body: { name: "renamed" } },
  "DELETE /api/webhooks/{id}": { roles: write, status: 204 },
  "POST /api/webhooks/{id}/secret/rotate": { roles: write, status: 200, body: {} },
  "GET /api/webhooks/{id}/health": { roles: read, status: 200 },
  "GET /api/webhooks/{id}/stats": { roles: read, status: 200 },
  "POST /api/webhooks/{id}/ping": { roles: write, status: 200 },
  "POST /api/webhooks/{id}/test": { roles: write, status: 202, body: {} },
  "GET /api/webhooks/{id}/deliveries": { roles: read, status: 200 },
  "GET /api/deliveries/{id}": { roles: read, status: 200 },
  "POST /api/deliveries/{id}/retry": { roles: write, status: 202 },
  "POST /api/events": { roles: publish, status: 202, body: event },
  "POST /api/events/batch": { roles: publish, status: 202, body: { events: [event] } },
  "GET /api/events": { roles: read, status: 200 },
  "GET /api/events/{id}": { roles: read, status: 200 },
  "GET /api/events/{id}/explain": { roles: read, status: 200 },
  "GET /api/event-types": { roles: read, status: 200 },
  "PUT /api/event-types/{name}": { roles: operate, status: 200, body: {} },
  "DELETE /api/event-types/{name}": { roles: operate, status: 204 },
  "GET /api/alerts": { roles: read, status: 200 },
  "POST /api/alerts/{id}/acknowledge": { roles: write, status: 200 },
  "GET /api/clients": { roles: operate, status: 200 },
  "POST /api/clients": { roles: operate, status: 201, body: { id: "made-by-test" } },
  "PATCH /api/clients/{id}": { roles: operate, status: 200, body: { alert_email: "ops@example.com" } },
  "GET /api/clients/{id}/keys": { roles: operate, status: 200 },
  "POST /api/clients/{id}/keys": { roles: operate, status: 201, body: { role: "viewer" } },
  "DELETE /api/clients/{id}/keys/{key}": { roles: operate, status: 204 },
  "GET /api/audit": { roles: read, status: 200 },
  "GET /api/system": { roles: operate, status: 200 }
}

/** Those that need no key. */
export const probes: ReadonlyArray<string> = ["GET /healthz", "GET /readyz", "GET /metrics"]

export type ResourceName = "alert" | "api_key" | "client" | "delivery" | "event" | "event_type" | "webhook"
export type Ids = Readonly<Record<ResourceName, string>>

const parameters: Readonly<Record<string, ResourceName>> = {
  "/alerts/{id}": "alert",
  "/webhooks/{id}": "webhook",
  "/deliveries/{id}": "delivery",
  "/events/{id}": "event",
  "/event-types/{name}": "event_type",
  "/clients/{id}": "client",
  "/keys/{key}": "api_key"
}

/** What the ids in a path name, in their order. */
export const resourcesIn = (path: string): ReadonlyArray<ResourceName> =>
  Array.from(path.matchAll(/\/[a-z-]+\/\{[a-z]+\}/g), ([part]) => {
    const resource = parameters[part]
    if (resource === undefined) throw new Error(`Say in ApiOperations what ${part} names`)
    return resource
  })

export const fill = (path: string, ids: Ids): string =>
  path.replace(/(\/[a-z-]+\/)\{[a-z]+\}/g, (part, collection: string) => collection + ids[parameters[part] ?? "event"])

export const split = (operation: string): { readonly method: string; readonly path: string } => {
  const [method = "", path = ""] = operation.split(" ")
  return { method, path }
}

export interface Parameter {
  readonly name: string
  readonly in: "header" | "path" | "query"
  readonly required: boolean
  readonly description?: string
  readonly schema: ReturnType<typeof JSON.parse>
}

/** An operation as the document describes it. */
export interface Described {
  /** `POST /api/events`. */
  readonly name: string
  readonly method: string
  readonly path: string
  readonly isSecured: boolean
  readonly query: ReadonlyArray<string>
  readonly parameters: ReadonlyArray<Parameter>
  /** By status, as the document has them. */
  readonly responses: Readonly<Record<string, ReturnType<typeof JSON.parse>>>
  /** The JSON Schema of its body; undefined where it takes none. */
  readonly body: { readonly properties: object; readonly required: ReadonlyArray<string> } | undefined
}

/** The operations of a parsed `/openapi.json`. */
export const describe = (document: ReturnType<typeof JSON.parse>): ReadonlyArray<Described> =>
  Object.entries<Record<string, ReturnType<typeof JSON.parse>>>(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters = [], requestBody, responses, security }]) => {
      const schema = requestBody?.content["application/json"].schema
      const name = schema?.["$ref"]?.split("/").at(-1)
      return {
        name: `${method.toUpperCase()} ${path}`,
        method: method.toUpperCase(),
        path,
        isSecured: security.length > 0,
        parameters,
        responses,
        query: parameters
          .filter((parameter: { readonly in: string }) => parameter.in === "query")
          .map((parameter: { readonly name: string }) => parameter.name),
        body: name === undefined ? schema : document.components.schemas[name]
      }
    })
  )
