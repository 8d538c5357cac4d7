-- Registered endpoints and what they subscribe to. A deleted webhook keeps its row, without secrets, because its
-- deliveries still name it.

CREATE TABLE webhooks (
  id                           uuid PRIMARY KEY,
  client_id                    text NOT NULL REFERENCES clients (id),
  name                         text,
  description                  text,
  url                          text NOT NULL,
  events                       text[] NOT NULL,
  header_names                 text[] NOT NULL DEFAULT '{}',
  headers_sealed               bytea,
  secret_sealed                bytea,
  secret_expires_at            timestamptz,
  signatures                   text[] NOT NULL,
  is_active                    boolean NOT NULL DEFAULT true,
  deactivation_reason          text CHECK (deactivation_reason IN ('owner', 'gone')),
  failure_count                integer NOT NULL DEFAULT 0 CHECK (failure_count >= 0),
  circuit                      text NOT NULL DEFAULT 'closed' CHECK (circuit IN ('closed', 'open', 'half_open')),
  retry_count                  integer NOT NULL CHECK (retry_count BETWEEN 1 AND 20),
  timeout_ms                   integer NOT NULL CHECK (timeout_ms > 0),
  last_successful_delivery_at  timestamptz,
  last_failure_at              timestamptz,
  created_at                   timestamptz NOT NULL DEFAULT now(),
  updated_at                   timestamptz NOT NULL DEFAULT now(),
  deleted_at                   timestamptz,
  CHECK (is_active = (deactivation_reason IS NULL)),
  CHECK (deleted_at IS NOT NULL OR secret_sealed IS NOT NULL)
) WITH (fillfactor = 80); -- counters change with every batch of outcomes: room for them to stay on their page

CREATE INDEX webhooks_by_client ON webhooks (client_id, id DESC) WHERE deleted_at IS NULL;

-- One row for each name, prefix (`deal.*`) or `*` that a webhook wants: matching an event is a look-up of the few
-- patterns its type fits, however many webhooks there are.
CREATE TABLE subscriptions (
  client_id  text NOT NULL,
  pattern    text NOT NULL,
  webhook_id uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
  PRIMARY KEY (client_id, pattern, webhook_id)
);

CREATE INDEX subscriptions_by_webhook ON subscriptions (webhook_id);
