-- The catalogue of event types. `example` and `schema` are JSON text: text keeps every number's spelling.

CREATE TABLE event_types (
  name            text PRIMARY KEY,
  description     text,
  example         text,
  schema          text,
  sensitive_paths text[] NOT NULL DEFAULT '{}',
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now()
);

INSERT INTO event_types (name, description, example) VALUES
  ('lead.created',               'A lead was created.',                          '{"id": 7, "name": "Ana Souza", "source": "site"}'),
  ('lead.updated',               'A lead was changed.',                          '{"id": 7, "name": "Ana Souza", "source": "evento"}'),
  ('lead.converted',             'A lead became a deal.',                        '{"id": 7, "deal_id": 1}'),
  ('deal.created',               'A deal was created.',                          '{"id": 1, "status": "new", "title": "Novo Negócio", "value": 1000.00}'),
  ('deal.updated',               'A deal was changed.',                          '{"id": 1, "title": "Novo Negócio", "value": 1200.50}'),
  ('deal.stage_changed',         'A deal moved to another stage.',               '{"id": 1, "from": "new", "to": "negotiation"}'),
  ('deal.won',                   'A deal was won.',                              '{"id": 1, "status": "won", "value": 1200.50}'),
  ('deal.lost',                  'A deal was lost.',                             '{"id": 1, "reason": "price", "status": "lost"}'),
  ('proposal.created',           'A proposal was drafted.',                      '{"id": 3, "deal_id": 1, "total": 1200.50}'),
  ('proposal.sent',              'A proposal was sent to the customer.',         '{"id": 3, "deal_id": 1, "sent_to": "ana@example.com"}'),
  ('proposal.accepted',          'The customer accepted a proposal.',            '{"id": 3, "deal_id": 1, "total": 1200.50}'),
  ('proposal.rejected',          'The customer rejected a proposal.',            '{"id": 3, "deal_id": 1, "reason": "deadline"}'),
  ('integration.connected',      'An integration was connected.',                '{"id": 9, "provider": "erp"}'),
  ('integration.sync_completed', 'An integration finished a synchronisation.',   '{"id": 9, "records": 120}'),
  ('integration.error',          'An integration failed.',                       '{"id": 9, "message": "timeout"}'),
  ('user.created',               'A user registered.',                           '{"id": 42, "email": "ana@example.com"}'),
  ('pagamento.concluido',        'A payment was completed.',                     '{"id": 5, "valor": 199.90, "moeda": "BRL"}');
