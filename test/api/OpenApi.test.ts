import { assert, layer } from "@effect/vitest"
import { Validator } from "@seriousme/openapi-schema-validator"
import { Effect } from "effect"
import { operations, probes } from "../support/ApiOperations.ts"
import { ApiTest, expectStatus, layer as Api } from "../support/ApiTest.ts"

type Node = ReturnType<typeof JSON.parse>

const documented = Effect.flatMap(ApiTest, ({ nobody }) =>
  Effect.map(nobody.get("/openapi.json"), (answer): Node => {
    assert.strictEqual(expectStatus(answer, 200).headers["content-type"], "application/json")
    return answer.json
  }))

const described = (document: Node): ReadonlyArray<readonly [string, Node]> =>
  Object.entries<Node>(document.paths).flatMap(([path, methods]) =>
    Object.entries<Node>(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const)
  )

/** Every object in it, itself included. */
const nodes = (node: Node): ReadonlyArray<Node> =>
  typeof node === "object" && node !== null ? [node, ...Object.values(node).flatMap(nodes)] : []

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("OpenAPI", (it) => {
  it.effect("the document is valid OpenAPI 3.1", () =>
    Effect.gen(function*() {
      const document = yield* documented
      assert.match(document.openapi, /^3\.1\.\d+$/)
      const { errors, valid } = yield* Effect.promise(() => new Validator().validate(structuredClone(document)))
      assert.isTrue(valid, JSON.stringify(errors, null, 2))
    }))

  it.effect("every reference leads somewhere, and every schema is referred to", () =>
    Effect.gen(function*() {
      const document = yield* documented
      const prefix = "#/components/schemas/"
      const references = new Set<string>(
        nodes(document).map((node) => node.$ref).filter((ref) => typeof ref === "string")
      )
      const schemas = Object.keys(document.components.schemas).map((name) => prefix + name)
      assert.sameMembers(Array.from(references), schemas)
    }))

  it.effect("every operation says what it does, what it needs, and what it answers", () =>
    Effect.gen(function*() {
      const document = yield* documented
      const ids = new Set<string>()
      for (const [name, { operationId, responses, security, summary }] of described(document)) {
        assert.isNotEmpty(summary, name)
        ids.add(operationId)
        assert.deepStrictEqual(security, probes.includes(name) ? [] : [{ bearer: [] }], name)
        const status = operations[name]?.status ?? 200
        assert.property(responses, String(status), name)
        const failures = Object.keys(responses).filter((code) => Number(code) >= 400)
        if (probes.includes(name)) assert.deepStrictEqual(failures, ["400", "500", "503"], name)
        else assert.includeMembers(failures, ["401", "403", "422", "429", "500", "503"], name)
        const hasBody = /^(PATCH|POST|PUT) /.test(name)
        for (const code of ["408", "413", "415"]) {
          assert.strictEqual(code in responses, hasBody, `${name} ${code}`)
        }
        if (name.includes("{")) assert.property(responses, "404", name)
        for (const [code, response] of Object.entries<Node>(responses)) {
          assert.isNotEmpty(response.description, `${name} ${code}`)
          if (Number(code) < 400) continue
          const isPassing = code === "429" || code === "503"
          assert.deepStrictEqual(
            Object.keys(response.headers ?? {}),
            isPassing ? ["Retry-After"] : [],
            `${name} ${code}`
          )
          assert.deepStrictEqual(
            response.content,
            { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
            `${name} ${code}`
          )
        }
      }
      assert.strictEqual(ids.size, described(document).length)
      assert.deepInclude(document.components.securitySchemes.bearer, { type: "http", scheme: "bearer" })
    }))

  it.effect("parameters are described", () =>
    Effect.gen(function*() {
      for (const [name, { parameters }] of described(yield* documented)) {
        const inPath = Array.from(name.matchAll(/\{([a-z]+)\}/g), ([, parameter]) => parameter)
        assert.sameMembers(parameters.filter((p: Node) => p.in === "path").map((p: Node) => p.name), inPath, name)
        for (const parameter of parameters) {
          assert.isObject(parameter.schema, `${name} ${parameter.name}`)
          assert.strictEqual(parameter.required, parameter.in === "path", `${name} ${parameter.name}`)
        }
      }
    }))

  it.effect("a number in a query is described as one, with its bounds", () =>
    Effect.gen(function*() {
      const { paths } = yield* documented
      const schema = (path: string, method: string, name: string) =>
        paths[path][method].parameters.find((parameter: Node) => parameter.name === name).schema
      assert.deepInclude(schema("/api/events", "get", "limit"), { type: "integer", minimum: 1, maximum: 200 })
      const wait = schema("/api/deliveries/{id}/retry", "post", "wait_ms")
      assert.deepInclude(wait, { type: "integer", minimum: 0, maximum: 30_000 })
    }))

  it.effect("nothing is left of errors that are never answered", () =>
    Effect.gen(function*() {
      const text = JSON.stringify(yield* documented)
      for (const name of ["HttpApiDecodeError", "_tag", "\"Issue\"", "PropertyKey"]) assert.notInclude(text, name)
    }))

  it.effect("what is secret is described like all else", () =>
    Effect.gen(function*() {
      const document = yield* documented
      assert.notInclude(JSON.stringify(document), "<redacted>")
      const { requestBody, responses } = document.paths["/api/webhooks"].post
      const { properties } = requestBody.content["application/json"].schema
      assert.match(properties.secret_key.description, /that you chose/)
      assert.match(JSON.stringify(responses["201"]), /The signing secret, shown this once\./)
    }))

  it.effect("the problem's document has the fields that problems have", () =>
    Effect.gen(function*() {
      const { Problem } = (yield* documented).components.schemas
      const { nobody } = yield* ApiTest
      assert.sameMembers(Problem.required, Object.keys((yield* nobody.get("/api/webhooks")).json))
      assert.sameMembers(Object.keys(Problem.properties), [...Problem.required, "errors"])
      assert.sameMembers(Object.keys(Problem.properties.errors.items.properties), ["path", "code", "message"])
    }))
})
