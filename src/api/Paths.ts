/** Which methods each path knows: what a request with another one is told, and what OPTIONS answers. */
import * as HttpApi from "@effect/platform/HttpApi"
import { Api } from "./Api.ts"

/** The path of a request's target, without its query. */
export const of = (url: string): string => url.split("?", 1)[0] ?? url

/** The same path in the one spelling that we compare: the router heeds neither case nor needless slashes. */
export const normal = (url: string): string => of(url).toLowerCase().replace(/\/{2,}/g, "/").replace(/(?<=.)\/$/, "")

/** The page and the document: no part of the contract that they show. */
export const docs = "/docs"
export const document = "/openapi.json"

interface Route {
  readonly method: string
  readonly segments: ReadonlyArray<string>
}

const route = (method: string, path: string): Route => ({ method, segments: path.split("/") })

const routes: Array<Route> = [route("GET", docs), route("GET", document)]
HttpApi.reflect(Api, {
  onGroup: () => {},
  onEndpoint: ({ endpoint }) => routes.push(route(endpoint.method, endpoint.path))
})

/** The value of `Allow` for a path; undefined where there is none such. */
export const allow = (path: string): string | undefined => {
  const segments = normal(path).split("/")
  const methods = new Set(routes.filter((known) => leadsTo(known, segments)).map(({ method }) => method))
  if (methods.size === 0) return undefined
  if (methods.has("GET")) methods.add("HEAD")
  return [...methods, "OPTIONS"].sort().join(", ")
}

const leadsTo = ({ segments }: Route, asked: ReadonlyArray<string>): boolean =>
  segments.length === asked.length &&
  segments.every((segment, i) => segment.startsWith(":") ? asked[i] !== "" : segment === asked[i])
