-- The service's own notices, in the catalogue, so that receivers find what they may subscribe to.

INSERT INTO event_types (name, description, example) VALUES
  ('webhook.deactivated', 'A webhook was switched off by the service. For webhooks that subscribe to it by name or as webhook.*.',
    '{"webhook_id": "whk_01jmh2v3s8e5xt6dq4t9v0r1kz", "deactivation_reason": "failures", "message": "It failed for too long."}'),
  ('webhook.reactivated', 'A webhook that was switched off for failures answers again and was switched on.',
    '{"webhook_id": "whk_01jmh2v3s8e5xt6dq4t9v0r1kz", "message": "It answers again."}'),
  ('delivery.exhausted', 'A delivery failed for good: it has no attempts left, or its error is one that another attempt does not mend.',
    '{"delivery_id": "dlv_01jmh2v3s8e5xt6dq4t9v0r1kz", "event_id": "evt_01jmh2v3s8e5xt6dq4t9v0r1kz", "event_type": "deal.won", "webhook_id": "whk_01jmh2v3s8e5xt6dq4t9v0r1kz", "attempt_count": 5, "error_class": "http_5xx", "error_message": "answered 500"}'),
  ('alert.raised', 'An alert about a webhook was raised.',
    '{"alert_id": "alr_01jmh2v3s8e5xt6dq4t9v0r1kz", "kind": "high_latency", "severity": "warning", "message": "It takes long to answer.", "webhook_id": "whk_01jmh2v3s8e5xt6dq4t9v0r1kz", "details": {"average_ms": 4200}}')
ON CONFLICT (name) DO UPDATE SET description = excluded.description, example = excluded.example;
