-- What attempts came to: counts of each webhook and outcome for every five minutes, and past two hours for every hour.
-- Rows are added to in the statement that writes the attempts, so asking costs the same however many there were.

CREATE TABLE webhook_stats (
  webhook_id  uuid NOT NULL,
  -- The beginning of the five minutes or the hour.
  at          timestamptz NOT NULL,
  -- `success`, or the class of the error.
  outcome     text NOT NULL,
  attempts    integer NOT NULL,
  -- Those of the attempts that were not their delivery's first.
  retries     integer NOT NULL,
  -- Those after which another was to follow.
  rescheduled integer NOT NULL,
  -- How many took how long, by class of duration from the shortest on; classes past the longest are left out.
  latencies   integer[] NOT NULL,
  PRIMARY KEY (webhook_id, at, outcome)
) WITH (fillfactor = 70); -- counts change with every batch of outcomes: room for them to stay on their page

-- A row is in one of these: what is to be added to its hour, and what is to be forgotten.
CREATE INDEX webhook_stats_fine ON webhook_stats (at) WHERE at <> date_bin('1 hour', at, to_timestamp(0));
CREATE INDEX webhook_stats_coarse ON webhook_stats (at) WHERE at = date_bin('1 hour', at, to_timestamp(0));

-- Adds two lists of counts, class by class.
CREATE FUNCTION add_counts(one integer[], other integer[]) RETURNS integer[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  IF cardinality(other) > cardinality(one) THEN
    one := one || array_fill(0, ARRAY[cardinality(other) - cardinality(one)]);
  END IF;
  FOR i IN 1 .. cardinality(other) LOOP
    one[i] := one[i] + other[i];
  END LOOP;
  RETURN one;
END
$$;

CREATE AGGREGATE sum_counts(integer[]) (SFUNC = add_counts, STYPE = integer[], INITCOND = '{}', PARALLEL = SAFE,
  COMBINEFUNC = add_counts);
