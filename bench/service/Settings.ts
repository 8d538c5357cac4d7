/**
 * How the service is set up for a benchmark: as it comes, but that it may reach this machine, nobody is rate limited, and
 * only errors are logged: none of the others writes a line of each delivery.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Layer from "effect/Layer"
import type { Place } from "../Contender.ts"

export const settings = ({ databaseUrl }: Place) =>
  Layer.setConfigProvider(ConfigProvider.fromMap(
    new Map([
      ["DATABASE_URL", databaseUrl],
      ["LOG_LEVEL", "ERROR"],
      ["PORT", "0"],
      ["WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL", "127.0.0.0/8"],
      ["WEBHOOKS_ALLOWED_URL_SCHEMES", "http,https"],
      // Of a database that is thrown away; a service that starts again on it has to open what is there.
      ["WEBHOOKS_ENCRYPTION_KEYS", `bench:${Buffer.alloc(32).toString("base64")}`],
      ["WEBHOOKS_RATE_LIMIT_PER_SECOND", "0"]
    ])
  ))
