-- What the service knows of a webhook's endpoint: circuit, failures in a row, checks. And why a delivery waits: that
-- follows from its webhook, so it is no longer a column of the delivery.

ALTER TABLE webhooks
  -- Since when every charged attempt has failed; null while the latest one succeeded.
  ADD COLUMN failing_since           timestamptz,
  -- Of the latest charged attempt; null while it succeeded.
  ADD COLUMN last_error_class        text,
  -- Open: until when nothing is sent. Half open: until when the probe may take. Null while closed.
  ADD COLUMN circuit_until           timestamptz,
  -- Openings since it was last closed for good: each doubles the pause.
  ADD COLUMN circuit_openings        integer NOT NULL DEFAULT 0 CHECK (circuit_openings >= 0),
  -- Attempts at once while it is being closed; null where nothing but the bulkhead limits them.
  ADD COLUMN circuit_ramp            integer CHECK (circuit_ramp > 0),
  ADD COLUMN circuit_ramp_successes  integer NOT NULL DEFAULT 0,
  -- Attempts of the minute that began then: the failure rate and the latency.
  ADD COLUMN window_started_at       timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN window_attempts         integer NOT NULL DEFAULT 0,
  ADD COLUMN window_failures         integer NOT NULL DEFAULT 0,
  ADD COLUMN window_duration_ms      bigint NOT NULL DEFAULT 0,
  ADD COLUMN deactivated_at          timestamptz,
  -- When AutoHealing looks next at a webhook that was switched off for failures, and how often it has.
  ADD COLUMN heal_at                 timestamptz,
  ADD COLUMN healing_attempts        integer NOT NULL DEFAULT 0,
  -- When the next periodic check is due, unless there is traffic until then.
  ADD COLUMN check_at                timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN last_check_at           timestamptz,
  ADD COLUMN last_check_result       text CHECK (last_check_result IN ('healthy', 'unhealthy')),
  ADD COLUMN last_check_error_class  text,
  -- When the certificate that the endpoint showed last ends.
  ADD COLUMN certificate_expires_at  timestamptz,
  DROP CONSTRAINT webhooks_deactivation_reason_check,
  ADD CONSTRAINT webhooks_deactivation_reason_check CHECK (deactivation_reason IN ('owner', 'gone', 'failures')),
  ADD CHECK ((circuit = 'closed') = (circuit_until IS NULL));

-- Whether the window's attempts took half a second each or more: the few among which the Monitor looks for slow endpoints.
-- The window itself changes with every batch of outcomes and is in no index, so that the rows stay on their page.
ALTER TABLE webhooks
  ADD COLUMN is_slow boolean NOT NULL
    GENERATED ALWAYS AS (window_attempts >= 5 AND window_duration_ms >= 500 * window_attempts) STORED;

-- What the Monitor, AutoHealing and the HealthCheckWorker look for, however many webhooks there are.
CREATE INDEX webhooks_failing ON webhooks (failing_since)
  WHERE failing_since IS NOT NULL AND is_active AND deleted_at IS NULL;
CREATE INDEX webhooks_slow ON webhooks (id) WHERE is_slow AND is_active AND deleted_at IS NULL;
CREATE INDEX webhooks_healing ON webhooks (heal_at) WHERE heal_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX webhooks_checking ON webhooks (check_at) WHERE is_active AND deleted_at IS NULL;
CREATE INDEX webhooks_by_certificate ON webhooks (certificate_expires_at)
  WHERE certificate_expires_at IS NOT NULL AND is_active AND deleted_at IS NULL;
CREATE INDEX webhooks_by_secret_expiry ON webhooks (secret_expires_at)
  WHERE secret_expires_at IS NOT NULL AND is_active AND deleted_at IS NULL;

-- Attempts in a row of which nobody knows what came: those of nodes that ended.
ALTER TABLE deliveries ADD COLUMN unknown_count integer NOT NULL DEFAULT 0;

DROP INDEX deliveries_waiting;
DROP INDEX deliveries_held;
ALTER TABLE deliveries DROP COLUMN hold;

-- Waiting work, by webhook: the claim walks from webhook to webhook and takes each one's oldest.
CREATE INDEX deliveries_waiting ON deliveries (webhook_id, next_retry_at, id)
  WHERE next_retry_at IS NOT NULL AND lease_token IS NULL;

-- Why nothing is sent to a webhook now; null where it may be. The probe of a half-open circuit is under way until
-- circuit_until, and so is the pause of an open one.
CREATE FUNCTION webhook_hold(w webhooks) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN w.deleted_at IS NOT NULL THEN NULL
    WHEN NOT w.is_active THEN 'deactivated'
    WHEN w.circuit_until > now() THEN 'circuit'
  END
$$;

-- How many more of a webhook's deliveries may be under way while its circuit is closing: `most`, as far as the ramp allows.
-- Whoever claims has the row to himself; another claim at that moment gets none, and asks again. Volatile, so that what an
-- earlier claim has leased is seen although it was committed after the statement that asks began.
CREATE FUNCTION ramp_room(webhook uuid, most integer) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  ramp integer;
BEGIN
  SELECT circuit_ramp INTO ramp FROM webhooks
  WHERE id = webhook AND is_active AND circuit = 'closed' AND deleted_at IS NULL
  FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN 0; END IF;
  IF ramp IS NULL THEN RETURN most; END IF;
  RETURN greatest(0, least(most, ramp - (
    SELECT count(*)::int FROM deliveries d WHERE d.webhook_id = webhook AND d.lease_token IS NOT NULL)));
END
$$;
