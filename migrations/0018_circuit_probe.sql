-- What a circuit is decided on: which attempt is its probe, and which of its states somebody looked at.

ALTER TABLE webhooks
  -- The lease of the probe that a half-open circuit waits for: of no meaning in any other state.
  ADD COLUMN circuit_probe   uuid,
  -- Goes up with every change of the circuit: whoever decided on an earlier one has decided nothing.
  ADD COLUMN circuit_version integer NOT NULL DEFAULT 0;
