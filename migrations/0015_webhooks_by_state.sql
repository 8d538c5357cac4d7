-- What operators watch is rare among many: counting it must not read every webhook.

CREATE INDEX webhooks_not_closed ON webhooks (circuit) WHERE circuit <> 'closed' AND deleted_at IS NULL;
CREATE INDEX webhooks_deactivated ON webhooks (deactivation_reason)
  WHERE deactivation_reason IS NOT NULL AND deleted_at IS NULL;
