-- One is made for each delivery. A random UUID (version 4) becomes one of version 7 by two bits and the time, so that it takes
-- one random UUID, not two; and the time as a floating-point number, whose milliseconds are exact for longer than 48 bits of them
-- last, costs less than as a `numeric`.
CREATE OR REPLACE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(
    set_bit(
      set_bit(
        overlay(uuid_send(gen_random_uuid())
          PLACING substring(int8send((date_part('epoch', clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
        52, 1),
      53, 1),
    'hex')::uuid
$$;
