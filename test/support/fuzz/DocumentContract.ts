/** Holds answers to the document: nothing is answered that it does not say, and nothing accepted that it forbids. */
import { Ajv, type ValidateFunction } from "ajv"
import { assert } from "vitest"
import type { Described, Parameter } from "../ApiOperations.ts"
import type { Answer } from "../ApiTest.ts"
import type { KnownIds } from "./KnownIds.ts"
import type { Request } from "./Request.ts"
import type { Schema } from "./Schemas.ts"

export interface DocumentContract {
  /** Throws where the answer is not what the document promises. */
  readonly check: (request: Request, answer: Answer) => void
}

const anyId = /[a-z]{3}_[0-7][0-9a-hjkmnp-tv-z]{25}/g

export const make = (document: Schema, ids: KnownIds): DocumentContract => {
  // Effect writes schemas in which a keyword of one type stands beside another type; that is allowed.
  const ajv = new Ajv({ strict: false, validateFormats: false })
  const compiled = new Map<string, ValidateFunction>()
  const valid = (name: string, schema: Schema): ValidateFunction => {
    const found = compiled.get(name) ?? ajv.compile({ allOf: [schema], components: document.components })
    compiled.set(name, found)
    return found
  }
  const assertValid = (name: string, schema: Schema, value: unknown) => {
    const validate = valid(name, schema)
    assert.isTrue(validate(value), `${name}: ${ajv.errorsText(validate.errors)}`)
  }

  const checkAnswer = ({ name, responses }: Described, { headers, json, status, text }: Answer) => {
    const response = responses[status]
    assert.isDefined(response, `${name} does not say that it answers ${status}`)
    const [documented] = Object.entries<Schema>(response.content ?? {})
    if (documented === undefined) {
      assert.strictEqual(text, "", `${name} ${status} has no body`)
      return assert.isUndefined(headers["content-type"])
    }
    const [type, { schema }] = documented
    assert.strictEqual(headers["content-type"], type)
    assertValid(`${name} ${status}`, schema, type.endsWith("json") ? json : text)
  }

  /** What was answered with a success was a request that the document allows. */
  const checkRequest = ({ isSecured, name, parameters, ...operation }: Described, { body, path }: Request) => {
    if (operation.body !== undefined) {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(body)
      assertValid(`${name} body`, operation.body, text === "" ? {} : JSON.parse(text))
    }
    // Whoever probes may add what it likes to the question.
    if (!isSecured) return
    const query = new URLSearchParams(path.split("?")[1])
    const known = new Map(parameters.filter((parameter) => parameter.in === "query").map((p) => [p.name, p]))
    for (const [key, value] of query) {
      const parameter = known.get(key)
      assert.isDefined(parameter, `${name} has no ${key}`)
      assertValid(`${name} ?${key}`, parameter.schema, typed(parameter, value))
    }
  }

  /** Operators write for every tenant, into the catalogue and into webhooks: which ids they name there is theirs to say. */
  const named = new Set<string>()

  const checkTenancy = (request: Request, { text }: Answer) => {
    const { client } = request.asker
    const body = Buffer.from(request.body ?? []).toString("utf8")
    if (client === null) {
      for (const [id] of body.matchAll(anyId)) named.add(id)
      return
    }
    const asked = `${decodedPath(request.path)}\n${body}`
    for (const [id] of text.matchAll(anyId)) {
      const owner = ids.ownerOf(id)
      const mayKnow = owner === null || owner === client || asked.includes(id) || named.has(id)
      assert.isTrue(mayKnow, `${id} is ${owner}'s, told to ${client}`)
    }
  }

  return {
    check: (request, answer) => {
      const { operation } = request.plan
      assert.isBelow(answer.status, 500)
      // Said before anybody looked which operation it is.
      if (answer.status === 431) return assert.isAbove(headSize(request), 8_000)
      checkAnswer(operation, answer)
      if (answer.status < 300) checkRequest(operation, request)
      else checkReticence(answer)
      checkTenancy(request, answer)
    }
  }
}

const headSize = ({ headers, path }: Request): number => path.length + JSON.stringify(headers).length

/** What a query says of an integer is text. */
const typed = ({ schema }: Parameter, value: string): unknown =>
  schema.type === "integer" && /^-?\d+$/.test(value) ? Number(value) : value

const decodedPath = (path: string): string => {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** Traces of the inside: stacks, statements of SQL and what Postgres says of them, schemas as Effect prints them. */
const inside = [
  /\bat \S+ \(|\.[cm]?[jt]s:\d+/,
  /node_modules|node:internal/,
  /\b(SELECT|INSERT INTO|DELETE FROM|UPDATE|WHERE) /,
  /relation "|constraint "|syntax error|invalid input syntax|SQLSTATE|pg_|byte sequence/,
  /└─|readonly |<->|ParseError|_tag|TypeError|Encoded side|DateTime|Json(Float|Object)/
]

const checkReticence = ({ text }: Answer) => {
  for (const trace of inside) assert.notMatch(text, trace)
}
