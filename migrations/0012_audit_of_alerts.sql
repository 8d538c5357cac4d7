-- Acknowledged alerts are on record, too.

ALTER TABLE audit_log
  DROP CONSTRAINT audit_log_resource_check,
  ADD CONSTRAINT audit_log_resource_check
    CHECK (resource IN ('alert', 'api_key', 'client', 'delivery', 'event_type', 'webhook'));
