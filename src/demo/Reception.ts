/** The two receivers of the story. Both check every signature of every request and keep all they get. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Ledger from "./Ledger.ts"
import * as Mishaps from "./Mishaps.ts"
import * as Receiver from "./Receiver.ts"
import * as Signatures from "./Signatures.ts"

const Envelope = Schema.parseJson(
  Schema.Struct({ created_at: Schema.String, event_id: Schema.String, event_type: Schema.String })
)

/** A receiver that meets with the plan's mishaps: `plan` is empty for one that does not. */
export const open = (plan: Mishaps.Plan) =>
  Effect.gen(function*() {
    const ledger = yield* Ledger.Ledger
    const receive = (incoming: Receiver.Incoming) =>
      Effect.gen(function*() {
        const { arrivals, registrations } = yield* Ledger.read
        const addressee = registrations.find(({ subscriber }) => subscriber.path === incoming.path)
        const envelope = Option.getOrElse(Schema.decodeOption(Envelope)(incoming.body.toString("utf8")), () => nothing)
        const says = {
          webhookId: text(incoming.headers["x-webhook-id"]),
          deliveryId: text(incoming.headers["x-delivery-id"]),
          eventId: envelope.event_id
        }
        const before = arrivals.filter((arrival) => arrival.says.deliveryId === says.deliveryId).length
        const troubles = plan.get(Mishaps.happening(envelope.event_type, envelope.created_at)) ?? []
        const answer: Receiver.Answer = troubles[before] ?? "accepted"
        yield* Ledger.arrive({
          webhookId: addressee?.webhookId ?? `unknown path ${incoming.path}`,
          says,
          eventType: text(incoming.headers["x-event-type"]),
          body: incoming.body.toString("utf8"),
          wrong: Signatures.wrong({
            secret: addressee?.secret ?? "",
            body: incoming.body,
            headers: incoming.headers,
            now: Math.floor((yield* Clock.currentTimeMillis) / 1_000)
          }),
          answer,
          accepted: answer === "accepted"
        })
        return answer
      }).pipe(Effect.provideService(Ledger.Ledger, ledger))
    return yield* Receiver.make(receive)
  })

const nothing = { created_at: "", event_id: "", event_type: "" }

const text = (header: string | ReadonlyArray<string> | undefined): string => typeof header === "string" ? header : ""
