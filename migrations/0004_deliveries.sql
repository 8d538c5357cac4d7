-- Events, their deliveries and the attempts made. All three are partitioned by day on their time-ordered id (UUIDv7),
-- so retention drops partitions and never scans.

CREATE TABLE events (
  id          uuid PRIMARY KEY,
  client_id   text NOT NULL,
  event_type  text NOT NULL,
  -- The body of the POST: canonical JSON, ASCII, byte for byte what is signed and sent.
  body        text NOT NULL,
  occurred_at timestamptz NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (id);

CREATE INDEX events_by_client ON events (client_id, id DESC);

CREATE TABLE deliveries (
  id                        uuid PRIMARY KEY,
  webhook_id                uuid NOT NULL,
  client_id                 text NOT NULL,
  event_id                  uuid NOT NULL,
  event_type                text NOT NULL,
  status                    text NOT NULL DEFAULT 'pending'
                            CHECK (status IN ('pending', 'delivered', 'failed_retryable', 'failed_permanent')),
  hold                      text CHECK (hold IN ('deactivated')),
  attempt_count             integer NOT NULL DEFAULT 0,
  -- Attempts that count against the webhook's retry_count: not those that we spoiled ourselves, and none from before
  -- the delivery was sent again by hand.
  charged_count             integer NOT NULL DEFAULT 0,
  next_retry_at             timestamptz DEFAULT now(),
  -- Who is at work on it, and until when nobody else may be.
  lease_token               uuid,
  leased_until              timestamptz,
  last_response_code        integer,
  last_response_body_sample text,
  error_class               text,
  error_message             text,
  created_at                timestamptz NOT NULL DEFAULT now(),
  delivered_at              timestamptz,
  CHECK ((status IN ('pending', 'failed_retryable')) = (next_retry_at IS NOT NULL)),
  CHECK ((lease_token IS NULL) = (leased_until IS NULL)),
  CHECK ((status = 'delivered') = (delivered_at IS NOT NULL))
) PARTITION BY RANGE (id);

-- Waiting work, by webhook: the claim walks from webhook to webhook and takes each one's oldest.
CREATE INDEX deliveries_waiting ON deliveries (webhook_id, next_retry_at, id)
  WHERE next_retry_at IS NOT NULL AND lease_token IS NULL AND hold IS NULL;
CREATE INDEX deliveries_leased ON deliveries (leased_until) WHERE lease_token IS NOT NULL;
CREATE INDEX deliveries_held ON deliveries (webhook_id, next_retry_at, id) WHERE hold IS NOT NULL;
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, id DESC);
CREATE INDEX deliveries_by_event ON deliveries (event_id);

CREATE TABLE attempts (
  id                 uuid PRIMARY KEY,
  delivery_id        uuid NOT NULL,
  number             integer NOT NULL,
  result             text NOT NULL
                     CHECK (result IN ('success', 'failure_retryable', 'failure_permanent', 'outcome_unknown')),
  error_class        text,
  error_message      text,
  started_at         timestamptz NOT NULL,
  -- Null from here on where nothing is known of the wire.
  duration_ms        integer,
  peer_address       text,
  response_code      integer,
  response_headers   json,
  response_body      bytea,
  response_truncated boolean,
  response_error     text
) PARTITION BY RANGE (id);

CREATE INDEX attempts_by_delivery ON attempts (delivery_id, number);

CREATE TABLE idempotency_keys (
  client_id    text NOT NULL,
  key          text NOT NULL,
  request_hash bytea NOT NULL,
  event_ids    uuid[] NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz NOT NULL,
  PRIMARY KEY (client_id, key)
);

CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

-- A UUIDv7 (RFC 9562) of the present moment; Postgres has its own from 18 on, and we run on 15 too.
CREATE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(
    set_byte(
      overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
      6, (get_byte(uuid_send(gen_random_uuid()), 6) & 15) | 112),
    'hex')::uuid
$$;

-- The smallest UUIDv7 of a moment: a partition's bound.
CREATE FUNCTION uuid_v7_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT rpad(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;

-- Makes the day partitions from `first` to `last` (UTC days) that are not there yet; answers how many it made.
CREATE FUNCTION ensure_partitions(first date, last date) RETURNS integer LANGUAGE plpgsql
  SET lock_timeout = '5s' AS $$
DECLARE
  parent text;
  day    date;
  child  text;
  made   integer := 0;
BEGIN
  -- Two nodes that start together: the second waits and then finds the work done.
  PERFORM pg_advisory_xact_lock(hashtext('deeper_hub_webhooks.partitions'));
  FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
    FOR day IN SELECT generate_series(first, last, interval '1 day')::date LOOP
      child := parent || '_' || to_char(day, 'YYYYMMDD');
      IF to_regclass(child) IS NULL THEN
        -- Made apart and then attached: that does not wait for readers and writers of the other days.
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, parent);
        EXECUTE format(
          'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child,
          uuid_v7_floor(day::timestamp AT TIME ZONE 'UTC'), uuid_v7_floor((day + 1)::timestamp AT TIME ZONE 'UTC'));
        made := made + 1;
      END IF;
    END LOOP;
  END LOOP;
  RETURN made;
END
$$;
