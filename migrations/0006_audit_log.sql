-- Who changed what, or was shown a secret. Rows are written in the transaction of the change, and never again: the
-- triggers hold for every role, the tables' owner included.

CREATE TABLE audit_log (
  id          uuid PRIMARY KEY DEFAULT uuid_v7(),
  -- Whose thing it is; null where it is no client's (the catalogue of event types).
  client_id   text,
  action      text NOT NULL,
  resource    text NOT NULL CHECK (resource IN ('api_key', 'client', 'delivery', 'event_type', 'webhook')),
  -- A UUID where the resource has one, or its name.
  resource_id text NOT NULL,
  key_id      uuid,
  role        text NOT NULL CHECK (role IN ('operator', 'client', 'publisher', 'viewer', 'system')),
  address     text,
  -- JSON texts of what was and what is, without secrets.
  before      text,
  after       text,
  created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX audit_log_by_client ON audit_log (client_id, id DESC);
CREATE INDEX audit_log_by_resource ON audit_log (resource_id, id DESC);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- Sessions that replicate skip ordinary triggers, and any superuser may call itself one.
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_is_append_only;
