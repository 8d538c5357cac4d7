-- What a client is to know of its webhooks. An alert that goes on is one row, counted; over, it is resolved.

ALTER TABLE clients ADD COLUMN alert_email text;

CREATE TABLE alerts (
  id              uuid PRIMARY KEY DEFAULT uuid_v7(),
  client_id       text NOT NULL REFERENCES clients (id),
  webhook_id      uuid NOT NULL REFERENCES webhooks (id),
  kind            text NOT NULL CHECK (kind IN (
                    'consecutive_failures', 'high_latency', 'certificate_error', 'certificate_expiring', 'secret_expiring',
                    'webhook_deactivated', 'webhook_reactivated', 'delivery_quarantined')),
  severity        text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  message         text NOT NULL,
  -- JSON text of the facts behind it: an object.
  details         text NOT NULL DEFAULT '{}',
  -- How often it was raised while it was open.
  occurrences     integer NOT NULL DEFAULT 1,
  raised_at       timestamptz NOT NULL DEFAULT now(),
  last_raised_at  timestamptz NOT NULL DEFAULT now(),
  acknowledged_at timestamptz,
  acknowledged_by uuid,
  resolved_at     timestamptz,
  -- When the e-mail about it went out, or was found to be nobody's; null while it is owed.
  mailed_at       timestamptz,
  -- Not before: a node is at work on the e-mail until then, or it was put off after a failure.
  mail_due_at     timestamptz NOT NULL DEFAULT now(),
  -- How often a node took it up: each time it is put off for longer.
  mail_attempts   integer NOT NULL DEFAULT 0
);

-- One open alert of a kind for each webhook.
CREATE UNIQUE INDEX alerts_open ON alerts (webhook_id, kind) WHERE resolved_at IS NULL;
CREATE INDEX alerts_by_client ON alerts (client_id, id DESC);
CREATE INDEX alerts_to_mail ON alerts (mail_due_at) WHERE mailed_at IS NULL;

-- Raises an alert, or counts it once more where it is open. Those who subscribe are told once, when it opens.
CREATE FUNCTION raise_alert(client text, webhook uuid, what text, weight text, said text, facts jsonb) RETURNS uuid
  LANGUAGE plpgsql AS $$
DECLARE
  opened alerts;
BEGIN
  INSERT INTO alerts AS a (client_id, webhook_id, kind, severity, message, details)
  VALUES (client, webhook, what, weight, said, facts::text)
  ON CONFLICT (webhook_id, kind) WHERE resolved_at IS NULL DO UPDATE SET
    occurrences = a.occurrences + 1, last_raised_at = now(), severity = excluded.severity, message = excluded.message,
    details = excluded.details
  RETURNING * INTO opened;
  IF opened.occurrences = 1 THEN
    PERFORM put_notice(client, 'alert.raised', webhook, jsonb_build_object(
      'alert_id', typeid('alr', opened.id), 'kind', what, 'severity', weight, 'message', said,
      'webhook_id', typeid('whk', webhook), 'details', facts));
  END IF;
  RETURN opened.id;
END
$$;

-- Ends the open alerts of these kinds: what they were about is over.
CREATE FUNCTION resolve_alerts(webhook uuid, kinds text[]) RETURNS void LANGUAGE sql AS $$
  UPDATE alerts SET resolved_at = now() WHERE webhook_id = webhook AND kind = ANY(kinds) AND resolved_at IS NULL
$$;
