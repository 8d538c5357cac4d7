/** The service's settings for the story, all of them: the environment of whoever runs it has no say. */
import * as ConfigProvider from "effect/ConfigProvider"

export const make = (
  { dataDirectory, ports }: { readonly dataDirectory: string; readonly ports: ReadonlyArray<number> }
): ConfigProvider.ConfigProvider =>
  ConfigProvider.fromMap(
    new Map([
      ["HOST", "127.0.0.1"],
      ["PORT", "0"],
      ["LOG_LEVEL", "Error"],
      ["WEBHOOKS_DATA_DIRECTORY", dataDirectory],
      ["WEBHOOKS_ALLOWED_URL_SCHEMES", "http,https"],
      ["WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL", ports.map((port) => `127.0.0.1/32:${port}`).join(",")],
      ["WEBHOOKS_RETRY_POLICY_BASE_DELAY_SECONDS", "0.2"],
      ["WEBHOOKS_RETRY_POLICY_BACKOFF_FACTOR", "2"],
      ["WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS", "100"]
    ]),
    { pathDelim: "_" }
  )
