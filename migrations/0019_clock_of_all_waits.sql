-- Where the database's clock was put back, everything that waits until a moment moves with it: health checks, the outbox and
-- mail about alerts as well, which would otherwise have waited for the difference besides.

CREATE OR REPLACE FUNCTION follow_clock() RETURNS double precision LANGUAGE plpgsql AS $$
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
    window_started_at = least(window_started_at, now()),
    check_at = CASE WHEN check_at > now() THEN check_at - jump ELSE check_at END,
    -- A check is due so long after the latest of these: none of them may lie ahead.
    last_check_at = least(last_check_at, now()), last_failure_at = least(last_failure_at, now()),
    last_successful_delivery_at = least(last_successful_delivery_at, now())
  WHERE circuit_until IS NOT NULL OR heal_at IS NOT NULL
    OR greatest(failing_since, window_started_at, check_at, last_check_at, last_failure_at, last_successful_delivery_at)
      > now();
  UPDATE outbox SET due_at = due_at - jump WHERE due_at > now() AND refusal IS NULL;
  UPDATE alerts SET mail_due_at = mail_due_at - jump WHERE mail_due_at > now() AND mailed_at IS NULL;
  RETURN extract(epoch FROM jump);
END
$$;
