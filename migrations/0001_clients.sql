-- Tenants, and the keys that act for them.

CREATE TABLE clients (
  id         text PRIMARY KEY,
  name       text,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
  id          uuid PRIMARY KEY,
  client_id   text NOT NULL REFERENCES clients (id),
  role        text NOT NULL CHECK (role IN ('operator', 'client', 'publisher', 'viewer')),
  name        text,
  -- SHA-256 of the secret: 160 random bits need no slow hash.
  secret_hash bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
  created_at  timestamptz NOT NULL DEFAULT now(),
  expires_at  timestamptz,
  revoked_at  timestamptz
);

CREATE INDEX api_keys_by_client ON api_keys (client_id, id DESC);
