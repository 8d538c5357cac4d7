-- Alerts that follow from what a webhook is like: raised once for as long as that goes on.

-- Raises an alert unless it is open already with this severity. To be called under the webhook's row lock: then two nodes
-- that see the same raise it once, because each statement in here sees what the other committed.
CREATE FUNCTION open_alert(client text, webhook uuid, what text, weight text, said text, facts jsonb) RETURNS uuid
  LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM alerts a
    WHERE a.webhook_id = webhook AND a.client_id = client AND a.kind = what AND a.severity = weight
      AND a.resolved_at IS NULL
  ) THEN
    RETURN NULL;
  END IF;
  RETURN raise_alert(client, webhook, what, weight, said, facts);
END
$$;

-- A moment as the API writes it, for payloads that are made in the database.
CREATE FUNCTION iso(at timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;
