/** What pings real receivers, on the stores of a database of its own, and webhooks that point to them. */
import { Effect, Layer, Logger, Schema } from "effect"
import { Subscription } from "../../src/domain/EventType.ts"
import type { ClientId } from "../../src/domain/Ids.ts"
import * as GroupCommit from "../../src/runtime/GroupCommit.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { Audit } from "../../src/service/Audit.ts"
import { Courier } from "../../src/service/Courier.ts"
import { Probe } from "../../src/service/Probe.ts"
import { WebhookService } from "../../src/service/WebhookService.ts"
import { EncryptionKeys } from "../../src/signing/EncryptionKeys.ts"
import { PayloadSigner } from "../../src/signing/PayloadSigner.ts"
import { SecretBox } from "../../src/signing/SecretBox.ts"
import { Signals } from "../../src/telemetry/Signals.ts"
import { UrlGuard } from "../../src/transport/UrlGuard.ts"
import { WebhookClient, type WebhookClientOptions } from "../../src/transport/WebhookClient.ts"
import { type Columns, conduct } from "./Conduct.ts"
import * as ScriptedReceiver from "./ScriptedReceiver.ts"
import * as Stores from "./Stores.ts"

const keys = Schema.decodeSync(EncryptionKeys)(`k1:${Buffer.alloc(32, 1).toString("base64")}`)

export const layer = (options: Partial<WebhookClientOptions> = {}) =>
  WebhookService.layer({ payloadBytesMax: 100_000, retryCount: 5, timeoutMs: 5_000 }).pipe(
    Layer.provide(GroupCommit.layerUnsent),
    Layer.provide(Supervisor.layer),
    Layer.provideMerge(Layer.mergeAll(Audit.layer, Probe.layer)),
    Layer.provide(Courier.layer),
    Layer.provide(Layer.mergeAll(
      PayloadSigner.layer,
      SecretBox.layer(keys),
      UrlGuard.layer({ schemes: ["http", "https"], ownHosts: [] }),
      WebhookClient.layer({ userAgent: "probing-test/1", ...options })
    )),
    Layer.provide(ScriptedReceiver.allowLoopback()),
    Layer.provideMerge(Layer.merge(Signals.layer, Stores.layer)),
    Layer.provide(Logger.remove(Logger.defaultLogger))
  )

export const callerOf = (clientId: ClientId) => ({ keyId: null, clientId, role: "client", address: null }) as const

/** A webhook to this URL, in whose columns it stands so. */
export const register = (clientId: ClientId, url: URL, columns: Columns = {}) =>
  Effect.gen(function*() {
    const service = yield* WebhookService
    const { webhook } = yield* service.register(callerOf(clientId), {
      url: url.href,
      events: [Subscription.make("deal.*")]
    })
    if (Object.keys(columns).length > 0) yield* conduct(webhook.id, columns)
    return webhook
  })
