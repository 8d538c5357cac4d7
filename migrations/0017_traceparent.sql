-- Where the publisher's trace stood when it published (W3C Trace Context): attempts are linked with it, and receivers may
-- be sent it.
ALTER TABLE events ADD COLUMN traceparent text;
