/** The verbs around webhooks: register, change, publish to them, try them out. Each group of them is a file of its own. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Definitions from "./Definitions.ts"
import * as Intake from "./Intake.ts"
import * as Ping from "./Ping.ts"
import type { RegistrationDefaults } from "./Registration.ts"

export interface WebhookServiceOptions extends RegistrationDefaults {
  readonly payloadBytesMax: number
}

export class WebhookService extends Context.Tag("deeper-hub-webhooks/service/WebhookService")<
  WebhookService,
  Definitions.Definitions & Intake.Intake & Ping.Ping
>() {
  static readonly layer = (options: WebhookServiceOptions) =>
    Layer.effect(
      this,
      Effect.map(
        Effect.all([Definitions.make(options), Intake.make(options), Ping.make]),
        ([definitions, intake, ping]) => ({ ...definitions, ...intake, ...ping })
      )
    )
}
