/**
 * The whole service on one screen. Read each pipe bottom-up: what a line provides is available to every line above it,
 * and closes after them.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import { fileURLToPath } from "node:url"
import * as HttpServer from "./api/HttpServer.ts"
import * as Listener from "./api/Listener.ts"
import { AppConfig } from "./AppConfig.ts"
import { system } from "./domain/Audit.ts"
import * as FirstBoot from "./FirstBoot.ts"
import { AlertMails } from "./persistence/AlertMails.ts"
import { AlertStore } from "./persistence/AlertStore.ts"
import { AudienceStore } from "./persistence/AudienceStore.ts"
import { AuditStore } from "./persistence/AuditStore.ts"
import { Backlog } from "./persistence/Backlog.ts"
import { CircuitStore } from "./persistence/CircuitStore.ts"
import { ClientStore } from "./persistence/ClientStore.ts"
import { DeliveryHistory } from "./persistence/DeliveryHistory.ts"
import { DeliveryStore } from "./persistence/DeliveryStore.ts"
import * as EmbeddedPostgres from "./persistence/EmbeddedPostgres.ts"
import { EndpointStore } from "./persistence/EndpointStore.ts"
import { EventStore } from "./persistence/EventStore.ts"
import { EventTypeStore } from "./persistence/EventTypeStore.ts"
import { HealingStore } from "./persistence/HealingStore.ts"
import { HealthStore } from "./persistence/HealthStore.ts"
import { Inventory } from "./persistence/Inventory.ts"
import * as Migrations from "./persistence/Migrations.ts"
import { Notifications } from "./persistence/Notifications.ts"
import { Outbox } from "./persistence/Outbox.ts"
import { Partitions } from "./persistence/Partitions.ts"
import * as Postgres from "./persistence/Postgres.ts"
import { ReadCache } from "./persistence/ReadCache.ts"
import { Retention } from "./persistence/Retention.ts"
import { SealedStore } from "./persistence/SealedStore.ts"
import { StatsStore } from "./persistence/StatsStore.ts"
import { WebhookStore } from "./persistence/WebhookStore.ts"
import * as Actors from "./runtime/Actors.ts"
import { Supervisor } from "./runtime/Supervisor.ts"
import { defaultClient } from "./service/Access.ts"
import { Alerts } from "./service/Alerts.ts"
import { ApiKeys } from "./service/ApiKeys.ts"
import { Audit } from "./service/Audit.ts"
import { Clients } from "./service/Clients.ts"
import { Courier } from "./service/Courier.ts"
import { DeliveryLog } from "./service/DeliveryLog.ts"
import { EventBus, EventBusPort } from "./service/EventBus.ts"
import { EventTypes } from "./service/EventTypes.ts"
import { Explanations } from "./service/Explanations.ts"
import { Probe } from "./service/Probe.ts"
import { Reencryption } from "./service/Reencryption.ts"
import { Stats } from "./service/Stats.ts"
import { Webhooks } from "./service/Webhooks.ts"
import { WebhookService } from "./service/WebhookService.ts"
import { PayloadSigner } from "./signing/PayloadSigner.ts"
import { SecretBox } from "./signing/SecretBox.ts"
import { Signals } from "./telemetry/Signals.ts"
import * as Telemetry from "./telemetry/Telemetry.ts"
import { AddressPolicy, listeningOn } from "./transport/AddressPolicy.ts"
import { UrlGuard } from "./transport/UrlGuard.ts"
import { WebhookClient } from "./transport/WebhookClient.ts"
import * as UnknownSettings from "./UnknownSettings.ts"

const migrations = fileURLToPath(new URL("../migrations", import.meta.url))

/** The server of DATABASE_URL, or one of our own; migrated, with partitions for the days to come. */
const database = (config: AppConfig) => {
  const connect = (url: Postgres.PostgresOptions["url"]) => Postgres.layer({ ...config.database, url })
  const connected = Option.match(config.database.url, {
    onSome: connect,
    onNone: () =>
      Layer.unwrapScoped(
        Effect.map(EmbeddedPostgres.acquire({ dataDirectory: config.dataDirectory }), ({ url }) => connect(url))
      )
  })
  const ready = Layer.effectDiscard(
    Effect.zipRight(Migrations.run(migrations), Effect.flatMap(Partitions, (partitions) => partitions.ensure))
  )
  return ready.pipe(Layer.provideMerge(Partitions.layer), Layer.provideMerge(connected))
}

const stores = (config: AppConfig) =>
  Layer.mergeAll(
    AlertMails.layer,
    AlertStore.layer,
    AudienceStore.layer,
    AuditStore.layer,
    Backlog.layer,
    CircuitStore.layer,
    ClientStore.layer,
    DeliveryHistory.layer,
    DeliveryStore.layer,
    EndpointStore.layer,
    EventStore.layer({ idempotencyTtl: config.idempotencyTtl }),
    EventTypeStore.layer,
    HealingStore.layer,
    HealthStore.layer,
    Notifications.layer,
    Retention.layer,
    Outbox.layer({ payloadBytesMax: config.requestBytesMax }),
    Inventory.layer,
    SealedStore.layer,
    StatsStore.layer,
    WebhookStore.layer
  ).pipe(Layer.provideMerge(ReadCache.layer))

const signing = (config: AppConfig) =>
  Layer.merge(
    PayloadSigner.layer,
    Layer.unwrapEffect(Effect.map(FirstBoot.encryptionKeys(config), (keys) => SecretBox.layer(keys)))
  )

const transport = (config: AppConfig) => {
  const own = config.port === 0 ? [] : listeningOn(config.host, config.port)
  const policy = AddressPolicy.layer({ ...config.url, disallowed: [...config.url.disallowed, ...own] })
  return Layer.merge(
    WebhookClient.layer({
      userAgent: config.userAgent,
      nameservers: config.nameServers.length === 0 ? undefined : config.nameServers,
      // One webhook alone never takes all that its host may have: others may have the same one.
      connectionsPerOrigin: 4 * config.dispatcher.concurrencyPerWebhook
    }),
    UrlGuard.layer({ schemes: config.url.schemes, ownHosts: [`${config.host}:${config.port}`] })
  ).pipe(Layer.provide(policy))
}

/** The client of whoever names none: a program that embeds the service has no operator's key to be made with it. */
const firstClient = Layer.effectDiscard(Effect.flatMap(Clients, (clients) => clients.ensure(system, defaultClient)))

const services = (config: AppConfig) =>
  Layer.mergeAll(
    Alerts.layer,
    ApiKeys.layer,
    EventBus.layer,
    EventTypes.layer,
    Explanations.layer,
    Stats.layer,
    Webhooks.layer,
    firstClient
  ).pipe(
    Layer.provideMerge(EventBusPort.layer),
    Layer.provideMerge(Layer.merge(Clients.layer, DeliveryLog.layer)),
    Layer.provideMerge(WebhookService.layer({
      payloadBytesMax: config.payloadBytesMax,
      retryCount: config.retryPolicy.maxAttempts,
      timeoutMs: config.httpTimeoutMs
    })),
    Layer.provideMerge(Layer.mergeAll(Audit.layer, Probe.layer, Reencryption.layer)),
    Layer.provideMerge(Courier.layer)
  )

const actorsOptions = ({ dispatcher, ...config }: AppConfig): Actors.ActorsOptions => ({
  ...dispatcher,
  ...config,
  // For as long as an idempotency key is known, its first answer has to be there.
  retentionDays: Math.max(config.retentionDays, Math.ceil(Duration.toDays(config.idempotencyTtl)))
})

/** Everything but the HTTP API: what a program that embeds the service runs. */
const embedded = (config: AppConfig) =>
  Actors.layer(actorsOptions(config)).pipe(
    Layer.provideMerge(services(config)),
    Layer.provideMerge(Actors.layerHandOver(actorsOptions(config))),
    Layer.provideMerge(Layer.merge(signing(config), transport(config))),
    Layer.provideMerge(stores(config)),
    Layer.provideMerge(database(config)),
    Layer.provideMerge(Layer.mergeAll(Signals.layer, Supervisor.layer, UnknownSettings.warned)),
    Layer.provideMerge(NodeContext.layer),
    Layer.provide(Telemetry.layer(config.telemetry)),
    Layer.provide(Logger.minimumLogLevel(config.logLevel))
  )

/** A handler is silent for as long as it waits for a statement or an attempt. */
const listener = ({ database, requestTimeout }: AppConfig) =>
  Listener.make({ requestTimeout, silence: Duration.sum(database.queryTimeout, Duration.minutes(1)) })

/** The port is bound last and let go first: requests under way are answered while everything they need is still there. */
const node = (config: AppConfig) =>
  Layer.unwrapEffect(
    Effect.map(listener(config), (made) =>
      Layer.scopedDiscard(Effect.addFinalizer(() => made.drain)).pipe(
        Layer.provideMerge(NodeHttpServer.layer(() => made.server, { host: config.host, port: config.port })),
        Layer.provideMerge(Layer.succeed(Listener.Listener, made))
      ))
  )

/** The service with its HTTP API. */
const server = (config: AppConfig) =>
  HttpServer.layer({ ...config, bytesMax: config.requestBytesMax }).pipe(
    Layer.provideMerge(node(config)),
    // Whoever finds the port open finds the key.
    Layer.provideMerge(FirstBoot.FirstOperator.layer(config)),
    Layer.provideMerge(embedded(config)),
    Layer.provide(Telemetry.noIdleSpans(config.telemetry))
  )

/** Only what the administrative commands need. */
const keys = (config: AppConfig) =>
  ApiKeys.layer.pipe(
    Layer.provide(Clients.layer),
    Layer.provide(Audit.layer),
    Layer.provide(Layer.merge(AuditStore.layer, ClientStore.layer)),
    Layer.provide(ReadCache.layer),
    Layer.provide(database(config)),
    Layer.provide(NodeContext.layer)
  )

const reencryption = (config: AppConfig) =>
  Reencryption.layer.pipe(
    Layer.provide(signing(config)),
    Layer.provide(Layer.merge(SealedStore.layer, WebhookStore.layer)),
    Layer.provide(database(config)),
    Layer.provide(NodeContext.layer)
  )

/** All of these read their settings from the environment, or from the program's own `ConfigProvider`. */
export const layerEmbedded = Layer.unwrapEffect(Effect.map(AppConfig, embedded))
export const layer = Layer.unwrapEffect(Effect.map(AppConfig, server))
export const layerKeys = Layer.unwrapEffect(Effect.map(AppConfig, keys))
export const layerReencryption = Layer.unwrapEffect(Effect.map(AppConfig, reencryption))
export const layerDatabase = Layer.unwrapEffect(
  Effect.map(AppConfig, (config) => database(config).pipe(Layer.provide(NodeContext.layer)))
)
