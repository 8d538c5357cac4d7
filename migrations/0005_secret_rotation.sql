-- While a secret is being rotated the one before it signs too, until its time is over.

ALTER TABLE webhooks
  ADD COLUMN previous_secret_sealed     bytea,
  ADD COLUMN previous_secret_expires_at timestamptz,
  ADD CHECK ((previous_secret_sealed IS NULL) = (previous_secret_expires_at IS NULL));

CREATE INDEX webhooks_by_previous_secret ON webhooks (previous_secret_expires_at)
  WHERE previous_secret_expires_at IS NOT NULL;
