import { assert, layer } from "@effect/vitest"
import { Clock, Config, Console, Effect, FastCheck as fc, Option } from "effect"
import { describe, type Described } from "../support/ApiOperations.ts"
import * as Rows from "../support/ApiRows.ts"
import { type Answer, ApiTest, layer as Api, type Tenant } from "../support/ApiTest.ts"
import * as DocumentContract from "../support/fuzz/DocumentContract.ts"
import * as Json from "../support/fuzz/JsonText.ts"
import * as KnownIds from "../support/fuzz/KnownIds.ts"
import * as Plan from "../support/fuzz/Plan.ts"
import * as Request from "../support/fuzz/Request.ts"
import * as Schemas from "../support/fuzz/Schemas.ts"
import { Statuses } from "../support/fuzz/Statuses.ts"

const settings = Effect.runSync(Config.all({
  count: Config.withDefault(Config.integer("FUZZ_REQUESTS"), 20_000),
  seed: Config.option(Config.integer("FUZZ_SEED"))
}))
const { count } = settings

/** Another one each time; FUZZ_SEED asks for that of an earlier run. */
const chooseSeed = Effect.map(
  Clock.currentTimeMillis,
  (millis) => Option.getOrElse(settings.seed, () => millis % 1_000_000_000)
)

/** Faults that are told of at the end of one run, each kind of them once. */
const faultsMax = 10

/** What the answers of one round tell of, the next one knows: so a seed does the same again. */
const roundSize = 100
const concurrency = 20

/** A webhook may come to have another path than one of the targets. */
const statusOf = (path: string): number => /^\/[2-5]\d\d$/.test(path) ? Number(path.slice(1)) : 404

/** Receivers that answer at once, each in another way, and a port at which nobody is. */
const targets = Effect.map(
  Rows.receiver(({ path }) => ({ status: statusOf(path), body: Buffer.from([0x6f, 0x6b, 0x00, 0xff, 0xfe]) })),
  ({ url }) => [200, 200, 200, 204, 302, 404, 410, 500].map((status) => url(`/${status}`).href).concat(Rows.deadUrl)
)

const vocabulary = (urls: ReadonlyArray<string>): Schemas.Vocabulary => ({
  url: fc.constantFrom(...urls).map(Json.scalar),
  // Long enough for an attempt on loopback; a delivery on hold is waited for in vain.
  wait_ms: fc.constantFrom(0, 1, 60).map(Json.scalar),
  limit: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.constantFrom(1, 200)).map(Json.scalar),
  "idempotency-key": fc.constantFrom("one", "two", "three", "!", "k".repeat(255)).map(Json.scalar)
})

const askers = Effect.map(ApiTest, ({ a, b, nobody, operator }): ReadonlyArray<Request.Asker> => {
  const of = (client: string | null, times: number, sender: Request.Asker["sender"]) =>
    Array.from({ length: times }, () => ({ client, sender }))
  const keysOf = ({ client, id, publisher, viewer }: Tenant) => [
    of(id, 6, client),
    of(id, 1, publisher),
    of(id, 1, viewer)
  ]
  return [of(null, 10, operator), of(null, 1, nobody), ...keysOf(a), ...keysOf(b)].flat()
})

/** What an operation's answers have rows of: the last word of its path that stands for itself. */
const collectionOf = ({ path }: Described): string => path.split("/").findLast((word) => !word.startsWith("{")) ?? ""

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Fuzz", (it) => {
  it.scoped("L84 whatever is asked of any operation, the answer keeps to the document", () =>
    Effect.gen(function*() {
      const { a, b, nobody, port } = yield* ApiTest
      const seed = yield* chooseSeed
      yield* Console.log(`FUZZ_SEED=${seed} FUZZ_REQUESTS=${count}`)
      const document = yield* Rows.read(nobody, "/openapi.json")
      const operations = describe(document)
      const plans = Plan.arbitrary(operations, Schemas.make(document, vocabulary(yield* targets)))
      const everybody = yield* askers
      const isOff = (id: string) => everybody.some(({ sender: { token } }) => token?.includes(id.slice(4)) ?? false)
      const ids = KnownIds.make(["default", a.id, b.id], isOff)
      const contract = DocumentContract.make(document, ids)
      const statuses = new Statuses()

      const faults = new Map<string, string>()
      const ask = (request: Request.Request) =>
        request.asker.sender.send(request).pipe(
          Effect.tap((answer) => Effect.sync(() => contract.check(request, answer))),
          Effect.asSome,
          Effect.catchAllDefect((defect) =>
            Effect.sync(() => {
              faults.set(String(defect).replace(/_[0-9a-z]{26}/g, "_…"), Request.curl(request, port))
              return Option.none<Answer>()
            })
          )
        )

      const take = ({ asker, method, path, plan: { operation } }: Request.Request, answer: Answer) => {
        statuses.count(operation.name, answer.status)
        // The catalogue is everybody's, whoever was told of it first: its examples have ids in them.
        const client = operation.name.includes("/api/event-types") ? null : asker.client
        ids.learn(answer, { client, collection: collectionOf(operation) })
        if (method === "DELETE" && answer.status < 300) ids.forget(path)
      }

      for (let sent = 0; sent < count && faults.size < faultsMax; sent += roundSize) {
        const round = fc.sample(plans, { seed: seed + sent, numRuns: Math.min(roundSize, count - sent) })
          .map((plan) => Request.make(plan, everybody, ids))
        const answers = yield* Effect.forEach(round, ask, { concurrency })
        for (const [i, request] of round.entries()) {
          Option.map(answers[i] ?? Option.none(), (answer) => take(request, answer))
        }
      }

      yield* Console.log(statuses.table())
      const told = Array.from(faults, ([reason, curl]) => `${reason}\n${curl}`).join("\n\n")
      assert.isEmpty(told, `FUZZ_SEED=${seed} FUZZ_REQUESTS=${count}\n\n${told}\n`)
      for (const { name, responses } of operations) {
        const successes = Object.keys(responses).filter((status) => status.startsWith("2"))
        assert.includeMembers([...statuses.of(name)], successes, name)
      }
    }), 120_000 + count * 20)
})
