-- The latest moment that this database has shown, so that a clock that was put back is noticed: what waits until a moment
-- would wait for the difference besides.

CREATE TABLE database_clock (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  seen     timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO database_clock DEFAULT VALUES;

-- Notes the present moment. Where the clock was put back, moves what waits until a later moment back with it. Answers by
-- how many seconds; 0 where time went on as it should.
CREATE FUNCTION follow_clock() RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
  latest timestamptz;
  jump   interval;
BEGIN
  -- Of no use after a crash.
  PERFORM set_config('synchronous_commit', 'off', true);
  SELECT seen INTO latest FROM database_clock FOR UPDATE;
  UPDATE database_clock SET seen = clock_timestamp();
  jump := latest - clock_timestamp();
  -- Less than that is the clock being disciplined, and nobody's wait is much longer for it.
  IF jump < interval '2 seconds' THEN
    RETURN 0;
  END IF;
  PERFORM set_config('synchronous_commit', 'on', true);
  UPDATE deliveries SET next_retry_at = next_retry_at - jump WHERE next_retry_at > now() AND lease_token IS NULL;
  UPDATE deliveries SET next_retry_at = next_retry_at - jump, leased_until = leased_until - jump
  WHERE lease_token IS NOT NULL;
  UPDATE webhooks SET
    circuit_until = circuit_until - jump, heal_at = heal_at - jump, failing_since = least(failing_since, now()),
    window_started_at = least(window_started_at, now())
  WHERE circuit_until IS NOT NULL OR heal_at IS NOT NULL OR failing_since > now() OR window_started_at > now();
  RETURN extract(epoch FROM jump);
END
$$;
