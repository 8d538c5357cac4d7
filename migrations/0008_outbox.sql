-- Events on their way into the service from within a transaction: the service's own notices, and those of a platform
-- that shares the database. The EventListener publishes them, with the id as the idempotency key, and deletes them.

CREATE TABLE outbox (
  id          uuid PRIMARY KEY DEFAULT uuid_v7(),
  client_id   text NOT NULL REFERENCES clients (id),
  event_type  text NOT NULL,
  -- JSON text of the payload: an object.
  payload     text NOT NULL,
  occurred_at timestamptz NOT NULL DEFAULT now(),
  -- The webhook that a notice is about, which is not told of itself; null for a platform's events.
  about       uuid,
  -- Whether it is the service's own notice; the reserved types are for these alone.
  is_notice   boolean NOT NULL DEFAULT false,
  created_at  timestamptz NOT NULL DEFAULT now(),
  -- Not before: a node is at work on it until then, or it was put off after a failure.
  due_at      timestamptz NOT NULL DEFAULT now(),
  -- How often a node took it up: each time it is put off for longer.
  attempts    integer NOT NULL DEFAULT 0,
  -- Why it is set aside: what is wrong with it no repetition mends. Null while it is on its way.
  refusal     text,
  CHECK (about IS NULL OR is_notice)
);

-- By client, so that nobody's rows wait behind another client's million.
CREATE INDEX outbox_due ON outbox (client_id, due_at, id) WHERE refusal IS NULL;

-- A TypeID (typeid spec 0.3) of a UUID, as the API shows it.
CREATE FUNCTION typeid(prefix text, id uuid) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT prefix || '_' || string_agg(
    substr('0123456789abcdefghjkmnpqrstvwxyz', substring(bits FROM 5 * i + 1 FOR 5)::bit(5)::int + 1, 1), '' ORDER BY i)
  FROM (SELECT B'00' || ('x' || replace(id::text, '-', ''))::bit(128) AS bits) AS b, generate_series(0, 25) AS i
$$;

-- Puts a notice of the service's own into the outbox, where another webhook of the client asks for it by name or prefix.
-- `*` means what the platform publishes, and no notices.
CREATE FUNCTION put_notice(client text, type text, subject uuid, facts jsonb) RETURNS void LANGUAGE sql AS $$
  INSERT INTO outbox (client_id, event_type, payload, about, is_notice)
  SELECT client, type, facts::text, subject, true
  WHERE EXISTS (
    SELECT FROM subscriptions s
    WHERE s.client_id = client AND s.pattern IN (type, split_part(type, '.', 1) || '.*')
      AND s.webhook_id IS DISTINCT FROM subject)
$$;
